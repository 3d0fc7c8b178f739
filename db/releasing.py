"""Release: a person takes a batch from its holder, without waiting for the lease to run out."""

from dataclasses import dataclass

from db.controls import Actor, lock_job
from db.engine import Connection, statement
from domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class Released:
    """Whether a lease was taken from its holder, and that worker, if known."""

    job_no: int
    is_released: bool
    held_by: str | None = None


async def release(connection: Connection, tenant_no: int, job_id: str, batch_no: int, actor: Actor) -> Released:
    """Make a running batch due at once under a raised fence, in the caller's transaction; other states stay unchanged.

    Later reports of its holder are stale. Locks the job against other actions, then the batch and the job.
    Raises NotFound and LOCK_TIMED_OUT.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    status = await connection.fetchval(statement("lock_batch"), job_no, batch_no)
    if status is None:
        raise NotFound("The job has no batch with this id.")
    if status != "running":
        return Released(job_no, is_released=False)
    held_by = await connection.fetchval(statement("release_lease"), job_no, batch_no, actor.by, actor.reason)
    return Released(job_no, is_released=True, held_by=held_by)
