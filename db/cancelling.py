"""Cancel: everything that is open of a job ends in one transaction, and whoever worked on it finds another fence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db.controls import Actor, lock_job
from db.engine import Connection, statement
from domain.spec import Kind
from domain.status import TERMINAL_JOB_STATUSES

WAITING = ("queued", "coordinating")


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel found or made: the job's state now, and how many cells it ended; of an import, how many batches.

    `is_done` unless the job had ended before. `cells_by_pool` counts those with a row by (provider, region); a job that
    was never planned has none. `import_batches` of an import ended. `batch_no` is one of the batches that ended, None
    if there was none. `failed_triggers` are the sources of triggers that waited for the job's coordination.
    """

    job_no: int
    status: str
    is_done: bool = False
    cells: int = 0
    cells_by_pool: Mapping[tuple[str, str], int] = field(default_factory=dict)
    import_batches: int = 0
    batch_no: int | None = None
    failed_triggers: Sequence[str] = ()


async def cancel(connection: Connection, tenant_no: int, job_id: str, actor: Actor) -> Cancelled:
    """Cancel a job in the caller's transaction, unless it has ended. Raises NotFound and HELD_UP.

    Locks the job against other actions, then its open batches, cells, waves and the job. A job that is being planned is
    waited for, and then cancelled with its cells.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    while True:  # a job only moves on: it is planned meanwhile, and it ends meanwhile
        status, kind = await connection.fetchrow("SELECT status, kind FROM jobs WHERE job_no = $1", job_no) or ("", "")
        if status in TERMINAL_JOB_STATUSES:
            return Cancelled(job_no, status)
        running = _cancel_import if kind == Kind.IMPORT else _cancel_running
        end = _cancel_waiting if status in WAITING else running
        if cancelled := await end(connection, job_no, actor):
            return cancelled


async def _cancel_waiting(connection: Connection, job_no: int, actor: Actor) -> Cancelled | None:
    cells = await connection.fetchval(statement("cancel_waiting_job"), job_no, actor.by, actor.reason)
    if cells is None:
        return None
    failed = await connection.fetch(statement("fail_open_triggers"), job_no, actor.worker_no)
    return Cancelled(job_no, "cancelled", is_done=True, cells=cells, failed_triggers=[row["source"] for row in failed])


async def _cancel_running(connection: Connection, job_no: int, actor: Actor) -> Cancelled | None:
    locked = await connection.fetch(statement("lock_open_batches"), job_no)
    # A statement of its own: its snapshot must see what was recorded while this waited for the locks.
    rows = await connection.fetch(statement("cancel_job"), job_no, actor.by, actor.reason)
    if not rows:
        return None
    cells_by_pool = {(row["provider"], row["region"]): row["cells"] for row in rows}
    return Cancelled(
        job_no,
        "cancelled",
        is_done=True,
        cells=sum(cells_by_pool.values()),
        cells_by_pool=cells_by_pool,
        batch_no=locked[0]["batch_no"],
    )


async def _cancel_import(connection: Connection, job_no: int, actor: Actor) -> Cancelled | None:
    locked = await connection.fetch(statement("lock_open_batches"), job_no)
    batches = await connection.fetchval(statement("cancel_import"), job_no, actor.by, actor.reason)
    if not batches:
        return None
    return Cancelled(
        job_no, "cancelled", is_done=True, cells=batches, import_batches=batches, batch_no=locked[0]["batch_no"]
    )
