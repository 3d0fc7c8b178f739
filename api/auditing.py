"""Audit entries of requests: who asks, for what, about what, and with which outcome."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from api.request_ids import request_id_of
from db.audit_log import AuditEntry, AuditOutcome
from domain.notes import cut

NO_IDS: Mapping[str, str] = {}


def entry_of(
    scope: Scope,
    outcome: AuditOutcome,
    status_code: int,
    *,
    code: str | None = None,
    ids: Mapping[str, str] = NO_IDS,
) -> AuditEntry:
    """Return the entry of a request; `ids` name what it made, beside what its path names."""
    state = scope.get("state", {})
    caller, client = state.get("caller"), scope.get("client")
    return AuditEntry(
        action=_action_of(scope),
        target={**{name: _storable(value) for name, value in scope.get("path_params", {}).items()}, **ids},
        outcome=outcome,
        status_code=status_code,
        code=code,
        tenant_no=caller.tenant_no if caller else None,
        key_id=caller.key_id if caller else state.get("claimed_key_id"),
        client=client[0] if client else None,
        account=_storable(caller.name) if caller and caller.subject is not None else None,
        request_id=request_id_of(scope),
        session_id=caller.session_id if caller else None,
    )


def _action_of(scope: Scope) -> str:
    """Return the method and the route; the method alone if the request was refused before it had a route.

    Never the path itself, which may hold a client's secret.
    """
    route = getattr(scope.get("route"), "path_format", None)
    return f"{scope['method']} {route}" if route else str(scope["method"])


def _storable(value: Any) -> str:
    """Return a text of the client's as one that is short, and that PostgreSQL can hold."""
    return cut(str(value)).encode("utf-8", "replace").decode().replace("\0", "?")
