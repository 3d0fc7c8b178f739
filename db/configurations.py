"""Committed configurations, numbered and immutable, with the identities under which jobs are accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from db import audit_log
from db.audit_log import AuditEntry
from db.columns import columns
from db.engine import Connection, statement
from domain.identities import Identity, IdentityKey, IdentityKind

CONFIGURATION_LOCK = 0x636F6E666967
"""Number of the advisory lock ("config") that `apply` takes alone, and a submission shares."""


class ConfigurationChanged(Exception):
    """The statement named a configuration that isn't in force, so it did nothing."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A configuration as it was committed. `content` is the checked file as JSON."""

    configuration_no: int
    content: Mapping[str, Any]
    is_simulated: bool
    applied_at: datetime
    applied_by: str
    identity_nos: Mapping[IdentityKey, int]


@dataclass(frozen=True, slots=True)
class HeldJobs:
    """Open jobs accepted under identities that aren't configured any more: their number, and the first ids."""

    count: int
    ids: Sequence[str]


async def lock(connection: Connection) -> None:
    """Lock the configuration until the transaction ends, against other changes of it and against submissions."""
    await connection.execute(statement("lock_configuration"), CONFIGURATION_LOCK)


async def read_current(connection: Connection, *, known_no: int | None = None) -> Committed | None:
    """Return the configuration in force; None if it is `known_no`, or if none was committed yet."""
    row = await connection.fetchrow(statement("read_configuration"), known_no)
    if row is None:
        return None
    identity_nos = {
        IdentityKey(IdentityKind(kind), name, region, tenant): number
        for kind, name, region, tenant, number in _json(row["identities"])
    }
    return Committed(
        row["configuration_no"],
        _json(row["content"]),
        row["is_simulated"],
        row["applied_at"],
        row["applied_by"],
        identity_nos,
    )


async def current_no(connection: Connection) -> int | None:
    """Return the number of the configuration in force, None where none was committed yet."""
    number: int | None = await connection.fetchval(statement("read_configuration_no"))
    return number


async def commit(
    connection: Connection, content: Mapping[str, Any], identities: Sequence[Identity], *, is_simulated: bool, by: str
) -> int:
    """Put a configuration in force, in the caller's transaction, which holds the lock; return its number.

    The audit log gets an entry.
    """
    rows = [
        (*each.key[:3], each.content, each.digest, each.is_simulated, each.key.tenant or None) for each in identities
    ]
    numbers = await connection.fetch(statement("enter_identities"), *columns(rows, 7))
    number: int = await connection.fetchval(
        statement("insert_configuration"),
        orjson.dumps(content).decode(),
        is_simulated,
        sorted({row["identity_no"] for row in numbers}),
        by,
    )
    entry = AuditEntry(action="config apply", target={"configuration": number}, account=by)
    await audit_log.enter(connection, [entry])
    return number


async def adopt_jobs(connection: Connection, job_nos: Sequence[int] | None = None) -> int:
    """Accept jobs from before any configuration under the first one: these, or all open ones. Return how many.

    Locks the jobs, then their batches, which no worker holds while there is no configuration to serve.
    """
    adopted = [row["job_no"] for row in await connection.fetch(statement("adopt_jobs"), job_nos)]
    if adopted:
        await connection.execute(statement("adopt_batches"), adopted)
    return len(adopted)


async def find_jobs_to_move(connection: Connection, *, to_other_services: bool) -> Sequence[int]:
    """Return the numbers of the open jobs whose identities aren't all configured now, in order. Locks nothing.

    Unless `to_other_services`, only those with one whose type and address are configured for their tenant.
    """
    return [row["job_no"] for row in await connection.fetch(statement("find_jobs_to_move"), to_other_services)]


async def move_jobs(
    connection: Connection, *, configuration_no: int, job_nos: Sequence[int], to_other_services: bool, by: str
) -> int:
    """Accept these jobs anew under the configuration with this number, each with an event; return how many.

    Unless `to_other_services`, only those that keep all their types and addresses, of which only the tenants changed.
    The audit log gets one entry for all of them.

    The caller's transaction keeps that configuration in force; raises ConfigurationChanged, and does nothing, if
    another one is. A job that needs an identity without a successor stays held. Locks jobs, then batches: no other
    transaction has this order, so it may be repeated after a deadlock.
    """
    await connection.execute(statement("keep_configuration"), CONFIGURATION_LOCK)
    if await current_no(connection) != configuration_no:
        raise ConfigurationChanged
    moved = [row["job_no"] for row in await connection.fetch(statement("move_jobs"), by, job_nos, to_other_services)]
    if moved:
        await move_waiting_batches(connection, moved)
        target = {"configuration": configuration_no, "jobs": len(moved)}
        await audit_log.enter(connection, [AuditEntry(action="config apply --move-jobs", target=target, account=by)])
    return len(moved)


async def move_released_batches(connection: Connection) -> list[tuple[int, int]]:
    """Give batches released since their jobs were accepted anew the new identities; return each (job_no, batch_no)."""
    job_nos = [row["job_no"] for row in await connection.fetch(statement("find_misplaced_jobs"))]
    return await move_waiting_batches(connection, job_nos) if job_nos else []


async def move_waiting_batches(connection: Connection, job_nos: Sequence[int]) -> list[tuple[int, int]]:
    """Give waiting batches of these jobs, accepted anew, the new identities; return each (job_no, batch_no)."""
    rows = await connection.fetch(statement("move_waiting_batches"), job_nos)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def read_held_jobs(connection: Connection) -> HeldJobs:
    """Return the open jobs that the configuration in force holds."""
    rows = await connection.fetch(statement("list_held_jobs"))
    return HeldJobs(rows[0]["jobs"] if rows else 0, [row["id"] for row in rows])


def _json(value: Any) -> Any:
    """Return a JSON value; plain connections return JSON as text."""
    return orjson.loads(value) if isinstance(value, str) else value
