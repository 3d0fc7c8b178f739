"""The result of a retry of any kind: the number of units planned anew, and the job's state."""

from collections.abc import Mapping
from dataclasses import replace

from db.engine import Connection
from db.jobs import read_job_state
from db.kinds import Retried
from domain.errors import JobCancelled


async def retry_result(connection: Connection, job_no: int, units_by_batch: Mapping[int, int]) -> Retried:
    """Return the result of a retry that reopened these numbers of units by batch."""
    job = await read_job_state(connection, job_no)
    retried = sum(units_by_batch.values())
    return Retried(
        job_no=job_no,
        job_id=job.id,
        status=job.status,
        retried=retried,
        untouched=job.planned - retried,
        unknown=job.unknown,
        batch_no=next(iter(units_by_batch), None),
    )


def retry_preview_result(result: Retried) -> Retried:
    """Return the result that a retry would have, from its preview."""
    if result.is_queued:
        return replace(result, status="queued")
    return replace(result, status="running") if result.retried else result


async def refuse_cancelled(connection: Connection, job_no: int) -> None:
    """Raise JobCancelled if the job was cancelled."""
    if (await read_job_state(connection, job_no)).status == "cancelled":
        raise JobCancelled(
            "The job was cancelled, and nothing of it runs again. Submit it again, without its id or under another one."
        )
