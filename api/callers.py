"""The callers of requests: their tenant, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request
from starlette.types import Scope as ScopeOfRequest

from db.tenants import DEFAULT_TENANT_NO
from domain.key_limits import Limited
from domain.scopes import ALL_SCOPES, Scope
from domain.sealing import Seal
from domain.tenant_names import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of a request, by name and number, and what it may do.

    It has the id of its API key, or the subject of its access token; neither while authentication is off.
    `limited` are its key and its tenant, as far as they have limits. `seal` is how it sees numbers, None: as they are.
    `session_id` is that of its page session, if it signed in.
    """

    tenant: str = field(kw_only=True)
    tenant_no: int
    scopes: frozenset[str]
    key_id: str | None = None
    subject: str | None = None
    key_no: int | None = None
    limited: Sequence[Limited] = ()
    seal: Seal | None = None
    session_id: str | None = None

    @property
    def name(self) -> str | None:
        """The name that its actions are recorded under, if it has one."""
        if self.key_id is not None:
            return f"key:{self.key_id}"
        return None if self.subject is None else f"oidc:{self.subject}"

    @property
    def limited_by(self) -> Sequence[Limited]:
        """Its key and its tenant, as far as they have limits of cells or active jobs."""
        return [each for each in self.limited if each.limits.has_quotas]


CHECK = "check_caller"
"""The member of a request's state that checks its caller again."""
ANYBODY = Caller(DEFAULT_TENANT_NO, frozenset(ALL_SCOPES), tenant=DEFAULT_TENANT)
"""Who calls while authentication is off."""


def is_operator(request: Request) -> bool:
    """Return whether the request may see what is of the whole installation."""
    return Scope.OPERATE in caller_of(request).scopes


def caller_of(request: Request) -> Caller:
    """Return the caller of a request to a route that names its scope (`api.access.requires`)."""
    caller: Caller = request.state.caller
    return caller


async def check_again(scope: ScopeOfRequest) -> None:
    """Refuse a request whose key or token isn't valid any more; call it where the client was waited for.

    Nearly free while the last check is fresh. Raises Unauthenticated, ScopeMissing, Overloaded or one of UNAVAILABLE.
    """
    if (check := scope["state"].get(CHECK)) is not None:
        await check(scope)
