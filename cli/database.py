"""Commands that work on the database of the settings, without an API."""

import asyncio
import getpass
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from db.audit_log import AuditEntry, AuditOutcome, enter
from db.audit_retention import set_retention
from db.engine import (
    QUICK_SECONDS,
    REJECTED,
    UNAVAILABLE,
    Connection,
    Engine,
    connect,
    create_engine,
    in_transaction,
)
from db.roles import Fault, describe, find_faults
from db.schema import read_schema
from runtime.errors import StartError
from runtime.settings import Auth, Settings, redacted

Result = TypeVar("Result")


def transact(settings: Settings, unit: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run a transaction; raises as `run_on`."""
    return run_on(settings, lambda engine: in_transaction(engine, unit))


def run_on(settings: Settings, work: Callable[[Engine], Awaitable[Result]]) -> Result:
    """Work on the database; raises StartError where it can't be reached or isn't migrated."""
    url = settings.database_url or ""
    try:
        return asyncio.run(_on_engine(url, work))
    except (*UNAVAILABLE, *REJECTED) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartError(
            f"The database at {redacted(url)} can't be asked ({reason}): look at BREAKWATER_DATABASE_URL, "
            "and run `breakwater migrate` first."
        ) from error


async def _on_engine(url: str, work: Callable[[Engine], Awaitable[Result]]) -> Result:
    engine = create_engine(url, size=1, name="breakwater-command")
    try:
        return await work(engine)
    finally:
        await engine.dispose()


def require_tenant_role(settings: Settings) -> None:
    """Raise StartError if requests need keys and can't run as the role of tenants; an unavailable database may pass.

    Requests fail there for as long as the role isn't as it must be.
    """
    if settings.auth is not Auth.KEYS:
        return
    url = settings.database_url or ""

    async def find(engine: Engine) -> Sequence[Fault]:
        async with connect(engine, seconds=QUICK_SECONDS) as connection:
            return [] if (await read_schema(connection)).mismatch else await find_faults(connection)

    with suppress(*UNAVAILABLE):
        if faults := asyncio.run(_on_engine(url, find)):
            needed = "BREAKWATER_AUTH=keys needs PostgreSQL to keep tenants apart."
            raise StartError(" ".join([needed, *describe(faults)]))


def keep_audit_log(settings: Settings) -> None:
    """Have the audit log kept as the settings say; enter a change into it. Raises as `run_on`."""
    days = settings.audit_retention_days

    async def unit(connection: Connection) -> None:
        if await set_retention(connection, days):
            kept = {"audit_retention_days": "all" if days is None else str(days)}
            await enter(connection, [audited("migrate", kept, refusal=None)])

    transact(settings, unit)


def actor() -> str:
    """Return the actor: the account and the machine."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        account = "somebody"
    return f"{account} on {socket.gethostname()}"


def audited(command: str, target: Mapping[str, str], *, refusal: str | None) -> AuditEntry:
    """Return the audit log's entry of a command, which was refused with the code `refusal`, if given."""
    outcome = AuditOutcome.DONE if refusal is None else AuditOutcome.REFUSED
    return AuditEntry(action=command, target=target, outcome=outcome, code=refusal, account=actor())
