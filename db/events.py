"""A job's stories, oldest first: its numbered events, and who submitted it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from db.engine import Engine, connect, statement
from db.jobs import find_job
from db.reading import Slice, columns_of, read_all, sliced
from db.tables.jobs import Submission


@dataclass(frozen=True, slots=True)
class EventRead:
    """Something that happened to a job; `worker` is its source where a worker goes by that id."""

    event_no: int
    type: str
    at: datetime
    source: str
    data: Any
    worker: str | None


@dataclass(frozen=True, slots=True)
class SubmissionRead:
    """One POST that named this job in its answer."""

    submission_no: int
    outcome: str
    reason: str
    matched_on: str | None
    status_code: int
    idempotency_key: str | None
    client: str | None
    user_agent: str | None
    request_id: str
    submitted_at: datetime


async def list_events(engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int) -> Slice[EventRead]:
    """Return a job's events from above the number `after` on; raise NotFound where there is no such job."""
    job_no = await find_job(engine, tenant_no, job_id)
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("list_events"), job_no, after, limit + 1)
    return sliced(rows, limit, lambda row: EventRead(**row))


async def list_submissions(
    engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int
) -> Slice[SubmissionRead]:
    """Return a job's submissions from above the key `after` on; raise NotFound where there is no such job."""
    job_no = await find_job(engine, tenant_no, job_id)
    submissions = (
        select(Submission)
        .where(
            col(Submission.job_no) == job_no,
            col(Submission.tenant_no) == tenant_no,
            col(Submission.submission_no) > after,
        )
        .order_by(col(Submission.submission_no))
        .limit(limit + 1)
    )
    found = await read_all(engine, submissions)
    return sliced(found, limit, columns_of(SubmissionRead))
