"""Cancel: everything that is open of a job ends in one transaction, and whoever worked on it finds another fence."""

from collections.abc import Mapping

from db.controls import Actor, lock_job
from db.engine import Connection, statement
from db.job_kinds import KINDS
from db.jobs import read_job_state
from db.kinds import Cancelled, StoredKind, kind_named
from domain.status import TERMINAL_JOB_STATUSES

WAITING = ("queued", "coordinating")


async def cancel(
    connection: Connection, tenant_no: int, job_id: str, actor: Actor, *, kinds: Mapping[str, StoredKind] = KINDS
) -> Cancelled:
    """Cancel a job in the caller's transaction, unless it has ended. Raises NotFound, KindNotServed and HELD_UP.

    Locks the job against other actions, then its open batches, cells, waves and the job. A job that is being planned is
    waited for, and then cancelled with its cells.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    while True:  # a job only moves on: it is planned meanwhile, and it ends meanwhile
        job = await read_job_state(connection, job_no)
        if job.status in TERMINAL_JOB_STATUSES:
            return Cancelled(job_no, job.status)
        end = _cancel_waiting if job.status in WAITING else kind_named(kinds, job.kind).cancel
        if cancelled := await end(connection, job_no, actor):
            return cancelled


async def _cancel_waiting(connection: Connection, job_no: int, actor: Actor) -> Cancelled | None:
    cells = await connection.fetchval(statement("cancel_waiting_job"), job_no, actor.by, actor.reason)
    if cells is None:
        return None
    failed = await connection.fetch(statement("fail_open_triggers"), job_no, actor.worker_no)
    return Cancelled(job_no, "cancelled", is_done=True, cells=cells, failed_triggers=[row["source"] for row in failed])
