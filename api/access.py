"""Access: each route names the scope that it needs, and a request finds its caller by its API key or access token.

`requires` is a dependency of routes. It leaves the caller in the request's state, from which the tenant is read; a
route that names no scope has no caller, and fails. It also leaves how to check the caller again, for requests that wait
for their client (`api.callers.check_again`).
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer as Description
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from api.authentication import Authenticator
from api.callers import ANYBODY, CHECK, Caller
from api.numbers import see_under
from api.rate_limits import admit
from api.services import Services
from db.engine import UNAVAILABLE
from domain.api_keys import KEY_PREFIX, read_key
from domain.errors import BreakwaterError, ScopeMissing, Unauthenticated
from domain.scopes import OF_INSTALLATION, Scope

SCHEME = "bearer"
CHECKED_SECONDS = 0.05
"""How long a check serves: with the age of a look-up, less than the second within which a revocation takes effect."""
_MISSING = "Send an API key: `Authorization: Bearer bw_…`. `breakwater keys create` makes one."
_MALFORMED = "This isn't an API key as it was printed: a character is missing, added or wrong."
_NO_TENANT = "There is no tenant with the name in this access token; `breakwater tenants create` makes one."
_INVALID = "This API key isn't valid: it was revoked, has expired, or never existed here."


class _BearerKey(SecurityBase):
    """The API key in `Authorization`, as OpenAPI describes it."""

    scheme_name = "api_key"
    model = Description(
        bearerFormat="bw_<id>_<secret>",
        description="An API key. Not needed while `BREAKWATER_AUTH` is `off`.",
    )

    async def __call__(self, request: Request) -> str | None:
        """Return the header, if it is given once."""
        given = request.headers.getlist("authorization")
        return given[0] if len(given) == 1 else None


async def _authorize(
    request: Request, scopes: SecurityScopes, header: Annotated[str | None, Depends(_BearerKey())]
) -> None:
    """Find the request's caller.

    Raises Unauthenticated, RateLimited, ScopeMissing, RolesChanged, or one of UNAVAILABLE.
    """
    services: Services = request.app.state.services
    is_open = services.settings.metrics_open and scopes.scopes == [Scope.METRICS]
    if services.authenticator is None or is_open:
        caller = request.state.caller = ANYBODY
    else:
        find = partial(_find, request, header, services.authenticator)
        checked_at = time.monotonic()
        caller = request.state.caller = await find()
        request.scope["state"][CHECK] = _Check(find, scopes, checked_at)
        await admit(request, caller, services.request_limits)
    see_under(caller.seal)
    _require(caller, scopes)
    request.state.sees_installation = not OF_INSTALLATION.isdisjoint(scopes.scopes)
    if services.role_check is not None and not request.state.sees_installation:
        await services.role_check.require()


def requires(scope: Scope) -> Any:
    """Return the dependency of a route that needs this scope."""
    return Security(_authorize, scopes=[scope.value])


async def sees_installation(request: Request) -> bool:
    """Return whether the caller of an open route may see what is of the whole installation; anybody may ask.

    A request without a valid key is served as one without any, also while keys can't be looked up.
    """
    services: Services = request.app.state.services
    if services.authenticator is None:
        return True
    try:
        caller = await _find(request, await _BearerKey()(request), services.authenticator)
    except (BreakwaterError, *UNAVAILABLE):
        return False
    return not OF_INSTALLATION.isdisjoint(caller.scopes)


class _Check:
    """Checks again whether a request's caller may make it, unless that was done a moment ago."""

    def __init__(self, find: Callable[[], Awaitable[Caller]], scopes: SecurityScopes, checked_at: float) -> None:
        self._find = find
        self._scopes = scopes
        self._checked_at = checked_at

    async def __call__(self) -> None:
        now = time.monotonic()
        if now - self._checked_at > CHECKED_SECONDS:
            self._checked_at = now
            _require(await self._find(), self._scopes)


def _require(caller: Caller, scopes: SecurityScopes) -> None:
    for scope in scopes.scopes:
        if scope not in caller.scopes:
            raise ScopeMissing(f"This needs the scope `{scope}`, which the key or token hasn't.", scope=scope)


async def _find(request: Request, header: str | None, authenticator: Authenticator) -> Caller:
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != SCHEME:
        raise Unauthenticated(_MISSING)
    text = text.strip()
    if authenticator.takes_tokens and not text.startswith(KEY_PREFIX):
        caller = await authenticator.caller_with(text)
        if caller is None:
            raise Unauthenticated(_NO_TENANT)
        return caller
    key = read_key(text)
    if key is None:
        raise Unauthenticated(_MALFORMED)
    request.state.claimed_key_id = key.id
    caller = await authenticator.caller_of(key)
    if caller is None:
        raise Unauthenticated(_INVALID)
    return caller
