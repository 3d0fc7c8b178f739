"""Tenants, API keys and sessions of pages in the database of the settings: making, listing and ending them.

Arguments are checked by the same models as the bodies of requests, and what is printed as JSON has their form.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from api.schemas.access import Key, KeyWithSecret, LimitChanges, NewKey, NewTenant, RotateRequest, Tenant
from cli.database import actor, audited, run_on, transact
from cli.service import settings_of
from db import api_keys, audit_log, page_sessions, tenants
from db.api_keys import KeyRead
from db.engine import Connection
from db.tenants import TenantRead
from domain.api_keys import ApiKey
from domain.errors import NameTaken, NotFound
from domain.notes import cut
from runtime.errors import StartError

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")
PAGE = 1000
NO_LIMIT = "none"


def create_tenant(body: dict[str, Any], *, as_json: bool) -> str:
    """Make a tenant. Raises StartError for malformed arguments, or a name that is taken."""
    new = _checked(NewTenant, body)
    made = _transact(
        "tenants create",
        lambda c: tenants.create_tenant(c, new.name, new.limits.values()),
        refusal=NameTaken.code,
        ids=lambda _: {"tenant": new.name},
    )
    if made is None:
        raise StartError(f"There is a tenant `{new.name}` already.")
    return Tenant.of(made).model_dump_json() if as_json else f"Tenant {made.name} is made."


def set_tenant_limits(name: str, limits: dict[str, Any], *, as_json: bool) -> str:
    """Set limits of a tenant, None for no such limit. Raises StartError for malformed ones, or without the tenant."""
    changes = _checked(LimitChanges, limits).changes()
    changed = _transact(
        "tenants limits",
        lambda c: tenants.set_limits(c, name, changes),
        refusal=NotFound.code,
        ids=lambda _: {"tenant": cut(name)},
    )
    if changed is None:
        raise StartError(f"There is no tenant `{name}`: `breakwater tenants list` shows them.")
    return Tenant.of(changed).model_dump_json() if as_json else _line_of(changed)


def list_tenants(*, as_json: bool) -> Iterator[str]:
    """Return a line for each tenant."""
    page = run_on(settings_of("tenants"), lambda engine: tenants.list_tenants(engine, after=0, limit=PAGE))
    for tenant in page.facts:
        yield Tenant.of(tenant).model_dump_json() if as_json else _line_of(tenant)
    yield from _note_of_more(is_last=page.is_last)


def create_key(body: dict[str, Any], *, as_json: bool) -> str:
    """Make a key; return it with its secret. Raises StartError for malformed arguments, or without such a tenant."""
    new = _checked(NewKey, body)
    wanted = new.wanted()
    made = _transact(
        "keys create",
        lambda c: api_keys.create_key(c, wanted, by=actor()),
        refusal="unknown_tenant",
        ids=lambda made: {"key_id": made[0].id} if made else {},
    )
    if made is None:
        raise StartError(f"There is no tenant `{new.tenant}`: `breakwater tenants create {new.tenant}` makes it.")
    return _with_secret(*made, as_json=as_json)


def list_keys(*, as_json: bool) -> Iterator[str]:
    """Return a line for each key, newest first."""
    page = run_on(settings_of("keys"), lambda engine: api_keys.list_keys(engine, before=None, limit=PAGE))
    for read in page.facts:
        key = Key.of(read)
        yield (
            key.model_dump_json()
            if as_json
            else f"{key.id}  {key.status:<8}  {key.tenant}  {key.name}  {' '.join(key.scopes)}"
        )
    yield from _note_of_more(is_last=page.is_last)


def rotate_key(key_id: str, *, overlap: str, as_json: bool) -> str:
    """Give a key another secret; return it. Raises StartError for a malformed overlap, or without such a valid key."""
    overlap_seconds = _checked(RotateRequest, {"overlap": overlap}).overlap_seconds
    made = _transact(
        "keys rotate",
        lambda c: api_keys.rotate_key(c, key_id, overlap_seconds=overlap_seconds),
        refusal=NotFound.code,
        ids=lambda _: {"key_id": cut(key_id)},
    )
    if made is None:
        raise StartError(f"There is no valid key with the id `{key_id}`: `breakwater keys list` shows them.")
    return _with_secret(*made, as_json=as_json)


def revoke_key(key_id: str) -> str:
    """Revoke a key. Raises StartError without such a key."""
    revoked = _transact(
        "keys revoke",
        lambda c: api_keys.revoke_key(c, key_id, by=actor()),
        refusal=NotFound.code,
        ids=lambda _: {"key_id": cut(key_id)},
    )
    if revoked is None:
        raise StartError(f"There is no key with the id `{key_id}`: `breakwater keys list` shows them.")
    return f"Key {key_id} is revoked."


def list_sessions(*, as_json: bool) -> Iterator[str]:
    """Return a line for each session that hasn't ended."""
    settings = settings_of("sessions")
    page = run_on(
        settings,
        lambda engine: page_sessions.list_sessions(
            engine, after=None, limit=PAGE, idle_seconds=settings.session_idle_seconds
        ),
    )
    for session in page.facts:
        who = f"key:{session.key_id}" if session.subject is None else f"oidc:{session.subject}"
        yield (
            orjson.dumps(session).decode()
            if as_json
            else f"{session.id}  {session.tenant}  {who}  since {session.created_at:%Y-%m-%d %H:%M} UTC"
        )
    if not page.is_last:
        yield f"There are more than {PAGE}."


def end_session(session_id: str) -> str:
    """End a session. Raises StartError without such a session."""
    ended = _transact(
        "sessions end",
        lambda c: page_sessions.end_session_with_id(c, session_id),
        refusal=NotFound.code,
        ids=lambda _: {"session_id": cut(session_id)},
    )
    if not ended:
        raise StartError(f"There is no session with the id `{session_id}`: `breakwater sessions list` shows them.")
    return f"Session {session_id} has ended."


def limits_of(given: Sequence[str]) -> dict[str, Any]:
    """Return the limits in arguments of the form NAME=NUMBER. Raises StartError for another form."""
    limits = changes_of(given)
    if None in limits.values():
        raise StartError("`none` can't be taken here: without a `--limit` there is none.")
    return limits


def changes_of(given: Sequence[str]) -> dict[str, Any]:
    """Return the limits in arguments of the form NAME=NUMBER or NAME=none. Raises StartError for another form."""
    limits: dict[str, Any] = {}
    for text in given:
        name, equals, number = text.partition("=")
        if not equals or not (number.isdigit() or number == NO_LIMIT) or name in limits:
            raise StartError(f"`--limit {text}` can't be taken: give each limit once, as cells_per_day=100.")
        limits[name] = None if number == NO_LIMIT else int(number)
    return limits


def _transact(
    command: str,
    unit: Callable[[Connection], Awaitable[Result]],
    *,
    refusal: str,
    ids: Callable[[Result], Mapping[str, str]],
) -> Result:
    """Run a command's unit with its entry in the audit log; without a result it is refused with the code `refusal`."""

    async def audited_unit(connection: Connection) -> Result:
        result = await unit(connection)
        entry = audited(command, ids(result), refusal=None if result else refusal)
        await audit_log.enter(connection, [entry])
        return result

    return transact(settings_of(command.partition(" ")[0]), audited_unit)


def _checked(kind: type[Body], body: dict[str, Any]) -> Body:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"])
        raise StartError(f"`{place}` can't be taken: {found['msg']}.") from None


def _with_secret(read: KeyRead, key: ApiKey, *, as_json: bool) -> str:
    shown = KeyWithSecret.once(read, key.text)
    return orjson.dumps(shown.model_dump(mode="json")).decode() if as_json else key.text


def _line_of(tenant: TenantRead) -> str:
    limits = "".join(f"  {name}={limit}" for name, limit in tenant.limits.given().items())
    return f"{tenant.name}  since {tenant.created_at:%Y-%m-%d}{limits}"


def _note_of_more(*, is_last: bool) -> Iterator[str]:
    if not is_last:
        yield f"There are more than {PAGE}; the API lists all."
