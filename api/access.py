"""Access: each route names the scope that it needs, and a request finds its caller by a key, a token or a page session.

`requires` is a dependency of routes. It leaves the caller in the request's state, from which the tenant is read; a
route that names no scope has no caller, and fails. It also leaves how to check the caller again, for requests that wait
for their client (`api.callers.check_again`).
"""

import time
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer as Description
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.types import Scope as ScopeOfRequest

from api.authentication import Authenticator
from api.callers import ANYBODY, CHECK, Caller
from api.numbers import see_under
from api.page_sessions import refuse_forged, session_of
from api.page_views import SESSION
from api.rate_limits import admit
from api.role_check import RoleCheck
from api.services import Services
from api.turns import Turns
from db.engine import REJECTED, UNAVAILABLE
from domain.api_keys import KEY_PREFIX, ApiKey, read_key
from domain.errors import BreakwaterError, ScopeMissing, Unauthenticated
from domain.page_sessions import SessionSecret
from domain.scopes import OF_INSTALLATION, Scope

SCHEME = "bearer"
CHECKED_SECONDS = 0.05
"""How long a check serves: with the age of a look-up, less than the second within which a revocation takes effect."""
_MISSING = "Send an API key: `Authorization: Bearer bw_…`. `breakwater keys create` makes one."
_MALFORMED = "This isn't an API key as it was printed: a character is missing, added or wrong."
_NO_TENANT = "There is no tenant with the name in this access token; `breakwater tenants create` makes one."
_ENDED = "This session has ended: sign in again at /ui/sign-in. A program sends an API key."
_INVALID = "This API key isn't valid: it was revoked, has expired, or never existed here."


class _BearerKey(SecurityBase):
    """The API key in `Authorization`, as OpenAPI describes it."""

    scheme_name = "api_key"
    model = Description(
        bearerFormat="bw_<id>_<secret>",
        description="An API key. Not needed while `BREAKWATER_AUTH` is `off`.",
    )

    async def __call__(self, request: Request) -> str | None:
        """Return the header, None if it isn't given; nothing can be read from several."""
        given = request.headers.getlist("authorization")
        if not given:
            return None
        return given[0] if len(given) == 1 else ""


async def _authorize(
    request: Request, scopes: SecurityScopes, header: Annotated[str | None, Depends(_BearerKey())]
) -> None:
    """Find the request's caller.

    Raises Unauthenticated, CsrfTokenRequired, RateLimited, ScopeMissing, RolesChanged, or one of UNAVAILABLE.
    """
    services: Services = request.app.state.services
    is_open = services.settings.metrics_open and scopes.scopes == [Scope.METRICS]
    sees_installation = request.state.sees_installation = not OF_INSTALLATION.isdisjoint(scopes.scopes)
    if services.authenticator is None or is_open:
        caller = request.state.caller = ANYBODY
    else:
        checked_at = time.monotonic()
        caller = services.authenticator.fresh_caller(header) or await _find(request, header, services.authenticator)
        request.state.caller = caller
        await services.turns.take(caller.tenant_no)
        role_check = None if sees_installation else services.role_check
        check = _Check(header, services.authenticator, scopes, role_check, checked_at, turns=services.turns)
        request.scope["state"][CHECK] = check
        if (session := request.scope["state"].get(SESSION)) is not None:
            await refuse_forged(request, session)
        await admit(request, caller, services.request_limits)
    see_under(caller.seal)
    _require(caller, scopes)
    if services.role_check is not None and not sees_installation:
        await services.role_check.require()


def requires(scope: Scope) -> Any:
    """Return the dependency of a route that needs this scope."""
    return Security(_authorize, scopes=[scope.value])


signed_in: Any = Security(_authorize)
"""The dependency of a route that needs a caller, whatever its scopes."""


async def sees_installation(request: Request) -> bool:
    """Return whether the caller of an open route may see what is of the whole installation; anybody may ask.

    A request without a valid key is served as one without any, also while keys can't be looked up.
    """
    services: Services = request.app.state.services
    if services.authenticator is None:
        return True
    try:
        caller = await _find(request, await _BearerKey()(request), services.authenticator)
    except (BreakwaterError, *UNAVAILABLE, *REJECTED):
        return False
    return not OF_INSTALLATION.isdisjoint(caller.scopes)


class _Check:
    """Checks again whether a request's caller may make it, unless that was done a moment ago.

    It holds no request, whose state holds it: what a request leaves would have to be found by the garbage collector.
    """

    def __init__(
        self,
        header: str | None,
        authenticator: Authenticator,
        scopes: SecurityScopes,
        role_check: RoleCheck | None,
        checked_at: float,
        *,
        turns: Turns,
    ) -> None:
        self._header = header
        self._authenticator = authenticator
        self._scopes = scopes
        self._role_check = role_check
        self._turns = turns
        self._checked_at = checked_at

    async def __call__(self, scope: ScopeOfRequest) -> None:
        now = time.monotonic()
        if now - self._checked_at > CHECKED_SECONDS:
            self._checked_at = now
            caller = await _find(Request(scope), self._header, self._authenticator)
            await self._turns.take(caller.tenant_no)
            _require(caller, self._scopes)
            if self._role_check is not None:
                await self._role_check.require()


def _require(caller: Caller, scopes: SecurityScopes) -> None:
    for scope in scopes.scopes:
        if scope not in caller.scopes:
            raise ScopeMissing(f"This needs the scope `{scope}`, which the key or token hasn't.", scope=scope)


async def find_key(request: Request, text: str, authenticator: Authenticator) -> tuple[ApiKey, Caller]:
    """Return the API key in a text, and its caller. Raises Unauthenticated, or one of UNAVAILABLE."""
    key = read_key(text)
    if key is None:
        raise Unauthenticated(_MALFORMED)
    request.state.claimed_key_id = key.id
    caller = await authenticator.caller_of(key)
    if caller is None:
        raise Unauthenticated(_INVALID)
    return key, caller


async def _find(request: Request, header: str | None, authenticator: Authenticator) -> Caller:
    """Return who sent the request: by its header, or without one by the cookie of a page session."""
    if header is None and (session := session_of(request)) is not None:
        return await _find_session(request, session, authenticator)
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != SCHEME:
        raise Unauthenticated(_MISSING)
    text = text.strip()
    if authenticator.takes_tokens and not text.startswith(KEY_PREFIX):
        caller = await authenticator.caller_with(text)
        if caller is None:
            raise Unauthenticated(_NO_TENANT)
        return caller
    _, caller = await find_key(request, text, authenticator)
    return caller


async def _find_session(request: Request, session: SessionSecret, authenticator: Authenticator) -> Caller:
    caller = await authenticator.caller_in(session)
    if caller is None:
        raise Unauthenticated(_ENDED)
    setattr(request.state, SESSION, session)
    return caller
