"""Cancel: a job's open work ends in one transaction, and its workers find their fences stale."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db.controls import Actor, lock_job
from db.engine import Connection, statement
from db.jobs import read_job_state
from db.kinds import Unit
from domain.status import TERMINAL_JOB_STATUSES

WAITING = ("queued", "coordinating")


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The result of a cancel: the job's state now, and how many units (cells or batches) it ended.

    `is_done` unless the job had ended before. `cells_by_pool` counts cells with a row by (provider, region); a job that
    was never planned has none. `batches` ended of a job that counts those. `batch_no` is one of the batches that ended,
    None if there was none. `failed_triggers` are the sources of triggers that waited for the job's coordination.
    """

    job_no: int
    status: str
    is_done: bool = False
    cells: int = 0
    cells_by_pool: Mapping[tuple[str, str], int] = field(default_factory=dict)
    batches: int = 0
    batch_no: int | None = None
    failed_triggers: Sequence[str] = ()


async def cancel(connection: Connection, tenant_no: int, job_id: str, actor: Actor) -> Cancelled:
    """Cancel a job of any kind, unless it has ended, in the caller's transaction. Raises NotFound and LOCK_TIMED_OUT.

    Locks the job against other actions, then as `cancel_locked`.
    """
    return await cancel_locked(connection, await lock_job(connection, tenant_no, job_id), actor)


async def cancel_locked(connection: Connection, job_no: int, actor: Actor) -> Cancelled:
    """Cancel a job that the transaction has locked against other actions, unless it has ended. Raises LOCK_TIMED_OUT.

    Locks its open batches, cells, waves and the job. It waits for a job that is being planned, and then cancels it with
    its cells.
    """
    while True:  # the job may be planned, or end, between these steps; it never goes back
        job = await read_job_state(connection, job_no)
        if job.status in TERMINAL_JOB_STATUSES:
            return Cancelled(job_no, job.status)
        if job.status not in WAITING:
            running = await _cancel_running(connection, job_no, Unit(job.unit), actor)
            if running:
                return running
        elif waiting := await cancel_waiting(connection, [job_no], actor):
            return waiting[0]


async def cancel_waiting(connection: Connection, job_nos: Sequence[int], actor: Actor) -> Sequence[Cancelled]:
    """Cancel those of these jobs that aren't planned yet; the transaction has locked them against other actions."""
    rows = await connection.fetch(statement("cancel_waiting_jobs"), job_nos, actor.by, actor.reason)
    cancelled = [row["job_no"] for row in rows]
    failed: defaultdict[int, list[str]] = defaultdict(list)
    for trigger in await connection.fetch(statement("fail_open_triggers"), cancelled, actor.worker_no):
        failed[trigger["job_no"]].append(trigger["source"])
    return [
        Cancelled(
            row["job_no"], "cancelled", is_done=True, cells=row["cancelled"], failed_triggers=failed[row["job_no"]]
        )
        for row in rows
    ]


async def _cancel_running(connection: Connection, job_no: int, unit: Unit, actor: Actor) -> Cancelled | None:
    locked = await connection.fetch(statement("lock_open_batches"), job_no)
    # A separate statement: its snapshot must see the results that were recorded while this one waited for locks.
    rows = await connection.fetch(statement("cancel_job"), job_no, actor.by, actor.reason)
    if not rows:
        return None
    units_by_pool = {(row["provider"], row["region"]): row["units"] for row in rows}
    units = sum(units_by_pool.values())
    return Cancelled(
        job_no,
        "cancelled",
        is_done=True,
        cells=units,
        cells_by_pool=units_by_pool if unit is Unit.CELL else {},
        batches=units if unit is Unit.BATCH else 0,
        batch_no=locked[0]["batch_no"],
    )
