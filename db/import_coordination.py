"""The lease of an import's coordination: one worker at a time surveys an import, and its writes name a fence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from db.batches import PoolKey
from db.engine import Connection, statement
from db.turns import charge, find_turn
from domain.import_spec import IMPORT

IMPORT_POOL: PoolKey = ("import", "")
"""The pool of all import batches. No configuration can name this region."""
DATASET_LOCK_SPACE = 0x646174
"""The first number of the advisory locks of datasets ("dat")."""


class Served(NamedTuple):
    """A configuration, and the numbers of the identities in it that a worker serves."""

    configuration_no: int
    identity_nos: Sequence[int]


@dataclass(frozen=True, slots=True)
class Coordination:
    """The lease of an import's coordination, named by fence and holder. `attempts` earlier tries failed.

    `lost_leases` leases in a row ran out before this one. `unavailable_seconds` is how long a source has been
    unavailable, None if none is. `fenced_sources` are the sources of triggers of expired leases.
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
    """An import that waits until job `other_id`, which shares `record_type`, is planned or has ended."""

    job_id: str
    other_id: str
    record_type: str
    until_end: bool


TriggerOutcomes = Sequence[tuple[str, str]]
"""The (source, outcome) of triggers whose outcome was recorded."""


async def find_imports(
    connection: Connection, served: Served, *, limit: int, but_not: Collection[int] = ()
) -> Sequence[tuple[int, str]]:
    """Return (job_no, id) of imports that this worker may coordinate, in turn. Locks nothing: `begin` decides."""
    rows = await connection.fetch(statement("find_imports"), limit, list(but_not), *served)
    return [(row["job_no"], row["id"]) for row in rows]


async def next_due_seconds(connection: Connection) -> float | None:
    """Return in how many seconds the next import may be coordinated that can't be now, or None."""
    seconds: float | None = await connection.fetchval(statement("find_next_import"))
    return seconds


async def begin(
    connection: Connection, job_no: int, served: Served, *, holder: int, worker_no: int, lease_seconds: float
) -> Coordination | Waiting | None:
    """Take the lease of an import, in the caller's transaction; None if another worker has it, or the job ended.

    None, too, if `served` isn't the configuration in force, or the import was accepted under an identity that isn't
    served. Locks the job, then its dataset. The holder of an expired lease is fenced off, and its trigger ends as
    `fenced`. Imports that share a record type pin their sources one at a time: this import waits for another that is
    pinning, that runs without a snapshot, or that comes first by virtual finish time.
    """
    if not await connection.fetchval(statement("lock_import_job"), job_no):
        return None
    await lock_dataset(connection, job_no)
    await connection.execute(statement("fence_off_expired_imports"), job_no)
    if (other := await connection.fetchrow(statement("find_import_blocker"), job_no)) is not None:
        return await _wait(connection, job_no, other)
    row = await connection.fetchrow(statement("begin_coordination"), job_no, holder, worker_no, lease_seconds, *served)
    if row is None:
        return None
    await charge(connection, [(await find_turn(connection, IMPORT, row["tenant_no"]), 1)])
    return Coordination(holder=holder, **row)


async def lock_dataset(connection: Connection, job_no: int) -> None:
    """Lock which imports of this import's dataset may run, until the caller's transaction ends.

    A separate statement, so that the following statements see the decision of an earlier transaction.
    """
    await connection.execute(statement("lock_dataset"), job_no, DATASET_LOCK_SPACE)


async def renew(connection: Connection, lease: Coordination, lease_seconds: float) -> bool:
    """Renew the lease; return whether it is still held."""
    renewed = await connection.fetchval(
        statement("renew_coordination"), lease.job_no, lease.fence, lease.holder, lease_seconds
    )
    return renewed is not None


async def was_taken_over(connection: Connection, lease: Coordination) -> bool:
    """Return whether another worker has taken the lease; if not, the job ended meanwhile."""
    outcome = await connection.fetchval(statement("read_trigger_outcome"), lease.trigger_no)
    return bool(outcome == "fenced")


async def fail(
    connection: Connection, lease: Coordination, code: str, detail: str, *, source: str, worker_no: int
) -> TriggerOutcomes | None:
    """End an import that can't be coordinated, in the caller's transaction; return None, unchanged, if fenced off."""
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
    """Queue an import again, counting `tries` (0 or 1); return None, without a change, if fenced off.

    `is_unavailable` says whether a source was unavailable; None: no source was asked.
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
