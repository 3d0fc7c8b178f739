"""Ending queued jobs whose queue timeout has passed. While every worker is full, no other service looks at them."""

from db import coordination, counters
from db.engine import Connection
from domain.outcome import QUEUE_TIMEOUT
from worker.trigger_counters import trigger_increments

SOURCE = "initial"
"""A job that is looked at without an envelope was submitted."""


async def end_overdue_jobs(connection: Connection, worker_no: int) -> dict[str, str]:
    """End a page of queued jobs whose queue timeout has passed; return their ids, each with the error's detail.

    Locks the jobs and passes over those that a worker is planning. Runs in the caller's transaction and never commits.
    """
    jobs = await coordination.lock_overdue_jobs(connection)
    if not jobs:
        return {}
    failures = [(job.job_no, SOURCE, QUEUE_TIMEOUT, overdue_detail(job.waited_seconds)) for job in jobs]
    await coordination.fail_queued_jobs(connection, failures, worker_no)
    job_nos = [job.job_no for job in jobs]
    joined = await coordination.record_trigger_outcomes(connection, job_nos, won=[], worker_no=worker_no)
    triggers = [*((SOURCE, "failed") for _ in jobs), *joined]
    await counters.add(connection, worker_no, trigger_increments(triggers))
    return {job.id: overdue_detail(job.waited_seconds) for job in jobs}


def overdue_detail(waited_seconds: float) -> str:
    """Return the error's detail of a job that waited too long to be planned."""
    return f"It waited {waited_seconds:.1f} s, past its queue_timeout_seconds, and nothing of it began."
