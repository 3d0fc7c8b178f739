"""The lease of an import's coordination: one worker at a time surveys an import, under a fence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from db.batches import PoolKey
from db.engine import Connection, statement

IMPORT_POOL: PoolKey = ("import", "")
"""The pool of all batches of imports. No provider has this region, so no configuration can name it."""
DATASET_LOCK_SPACE = 0x646174
"""The first number of the advisory locks of datasets ("dat")."""


class Served(NamedTuple):
    """A configuration, and the numbers of the identities that a worker serves of it."""

    configuration_no: int
    identity_nos: Sequence[int]


@dataclass(frozen=True, slots=True)
class Coordination:
    """The lease of an import's coordination, named by fence and holder. `attempts` tries failed before.

    `lost_leases` ran out in a row before this one. `unavailable_seconds` is for how long a source was unavailable until
    now, None if none was. `fenced_sources` are the sources of triggers of expired leases.
    """

    job_no: int
    id: str
    tenant_no: int
    identity_nos: Sequence[int]
    spec: Mapping[str, Any]
    fence: int
    holder: int
    attempts: int
    trigger_no: int
    source: str
    fenced_sources: Sequence[str]
    lost_leases: int = 0
    unavailable_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An import that may not be coordinated yet: it waits for job `other_id`, which has `record_type` too.

    It waits until that import is planned, or until its end.
    """

    job_id: str
    other_id: str
    record_type: str
    until_end: bool


TriggerOutcomes = Sequence[tuple[str, str]]
"""(source, outcome) of triggers that got their outcome."""


async def find_imports(
    connection: Connection, served: Served, *, limit: int, but_not: Collection[int] = ()
) -> Sequence[tuple[int, str]]:
    """Return (job_no, id) of imports that may be coordinated where this is served. Locks nothing: `begin` decides."""
    rows = await connection.fetch(statement("find_imports"), limit, list(but_not), *served)
    return [(row["job_no"], row["id"]) for row in rows]


async def next_due_seconds(connection: Connection) -> float | None:
    """Return in how many seconds an import may be coordinated that may not be now, or None."""
    seconds: float | None = await connection.fetchval(statement("next_import"))
    return seconds


async def begin(
    connection: Connection, job_no: int, served: Served, *, holder: int, worker_no: int, lease_seconds: float
) -> Coordination | Waiting | None:
    """Take the lease of an import, in the caller's transaction; None where another worker has it, or the job ended.

    None too where another configuration is in force than `served` says, or the import was accepted under an identity
    that isn't served. Locks the job, then its dataset. The holder of an expired lease is fenced off, and its trigger
    ends as `fenced`. Imports that share a record type pin their sources one at a time: where another import does, runs
    without a snapshot, or comes first by its virtual finish time, this import waits for it.
    """
    if not await connection.fetchval(statement("lock_import_job"), job_no):
        return None
    await lock_dataset(connection, job_no)
    await connection.execute(statement("fence_off_expired_imports"), job_no)
    if (other := await connection.fetchrow(statement("find_import_blocker"), job_no)) is not None:
        return await _wait(connection, job_no, other)
    row = await connection.fetchrow(statement("begin_coordination"), job_no, holder, worker_no, lease_seconds, *served)
    return Coordination(holder=holder, **row) if row is not None else None


async def lock_dataset(connection: Connection, job_no: int) -> None:
    """Lock which imports of this import's dataset may run, until the caller's transaction ends.

    A statement of its own: the statements that follow see what an earlier transaction decided.
    """
    await connection.execute(statement("lock_dataset"), job_no, DATASET_LOCK_SPACE)


async def renew(connection: Connection, lease: Coordination, lease_seconds: float) -> bool:
    """Renew the lease; return whether it is still held."""
    renewed = await connection.fetchval(
        statement("renew_coordination"), lease.job_no, lease.fence, lease.holder, lease_seconds
    )
    return renewed is not None


async def was_taken_over(connection: Connection, lease: Coordination) -> bool:
    """Return whether another worker has taken the lease since; else the job ended meanwhile."""
    outcome = await connection.fetchval(statement("read_trigger_outcome"), lease.trigger_no)
    return bool(outcome == "fenced")


async def fail(
    connection: Connection, lease: Coordination, code: str, detail: str, *, source: str, worker_no: int
) -> TriggerOutcomes | None:
    """End an import that can't be coordinated, in the caller's transaction; None, unchanged, if fenced off."""
    if not await lock_lease(connection, lease):
        return None
    return trigger_outcomes(
        await connection.fetch(statement("fail_coordination"), lease.job_no, code, detail, source, worker_no)
    )


async def reschedule(
    connection: Connection,
    lease: Coordination,
    *,
    tries: int,
    due_in_seconds: float,
    source: str,
    event: Mapping[str, object],
    outcome: str,
    is_unavailable: bool | None = None,
) -> TriggerOutcomes | None:
    """Queue an import again, after `tries` (0 or 1) that count; return None and change nothing if fenced off.

    `is_unavailable` says whether a source was unavailable, None that no source was asked.
    """
    if not await lock_lease(connection, lease):
        return None
    return trigger_outcomes(
        await connection.fetch(
            statement("reschedule_coordination"),
            lease.job_no,
            tries,
            due_in_seconds,
            source,
            orjson.dumps(event).decode(),
            outcome,
            is_unavailable,
        )
    )


async def lock_lease(connection: Connection, lease: Coordination) -> bool:
    """Lock the job, then the lease; return whether it is still held. The guard of every write."""
    if not await connection.fetchval(statement("lock_import_job"), lease.job_no):
        return False
    held = await connection.fetchval(statement("check_coordination"), lease.job_no, lease.fence, lease.holder)
    return held is not None


async def _wait(connection: Connection, job_no: int, other: Any) -> Waiting | None:
    job_id = await connection.fetchval(
        statement("wait_for_import"), job_no, other["job_no"], other["record_type"], other["is_running"]
    )
    if job_id is None:
        return None
    return Waiting(job_id, other["id"], other["record_type"], until_end=other["is_running"])


def trigger_outcomes(rows: Sequence[Any]) -> TriggerOutcomes:
    """Return the (source, outcome) of rows of triggers."""
    return [(row["source"], row["outcome"]) for row in rows]
