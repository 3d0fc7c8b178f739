"""Reading jobs: a single job, the list, and the internal key by an id."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from db.engine import Connection, Engine, connect, statement
from db.job_filters import MOST_LOOKED_AT, JobFilter, is_found_by_index, narrowed, newest_jobs
from db.reading import columns_of, read
from db.tables.batches import Batch
from db.tables.jobs import Job
from domain.errors import NotFound

MAX_COUNTED_BEFORE = 10_000
"""Queued jobs that are counted before a job; further back no place is shown."""
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Counts:
    """A job's cells by state; `running` counts the cells of running batches. The states sum up to `planned`."""

    planned: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    unknown: int


@dataclass(frozen=True, slots=True)
class JobState:
    """A job's kind and progress: `unit` is the unit of its counts, `unknown` counts cells that ended ambiguously."""

    id: str
    kind: str
    unit: str
    status: str
    planned: int
    unknown: int


@dataclass(frozen=True, slots=True)
class JobListed:
    """A job as a list shows it; `incomplete` counts cells whose answer was cut, filtered or refused."""

    job_no: int
    id: str
    kind: str
    name: str
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    planned: int
    completed: int
    failed: int
    cancelled: int
    unknown: int
    incomplete: int
    running: int

    @property
    def counts(self) -> Counts:
        """The progress."""
        return _counts(self)


@dataclass(frozen=True, slots=True)
class JobRead:
    """A job with its spec; `models`, `regions` and `questions` are the counts of its plan. Purged JSON is None.

    `queued_before` counts the queued jobs before it, up to `MAX_COUNTED_BEFORE`; None once it is planned. It is
    `simulated` if `echo` answers any of its cells. `held_by` names the identities that aren't configured any more,
    while this holds the job; None while it isn't held.
    """

    job_no: int
    id: str
    kind: str
    name: str
    status: str
    planned: int
    completed: int
    failed: int
    cancelled: int
    unknown: int
    incomplete: int
    spec_hash: str
    last_event_no: int
    error_code: str | None
    error_detail: str | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    models: int
    regions: int
    questions: int
    spec: Any
    submitted: Any
    normalization: Any
    running: int
    times_seen: int
    first_started_at: datetime | None
    seconds_since_queued: float
    queued_before: int | None
    simulated: bool
    held_since: datetime | None
    held_by: Sequence[str] | None

    @property
    def counts(self) -> Counts:
        """The progress."""
        return _counts(self)

    @property
    def is_waiting(self) -> bool:
        """Whether none of its work has begun."""
        return self.finished_at is None and self.first_started_at is None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list of jobs; older ones follow with keys below `next_before`, None at the end."""

    facts: Sequence[JobListed]
    next_before: int | None


_job_listed = columns_of(JobListed)


async def read_job(engine: Engine, tenant_no: int, job_id: str) -> JobRead:
    """Return the job; raise NotFound if the tenant has no job with this id."""
    refuse_impossible(job_id)
    async with connect(engine) as connection:
        row = await connection.fetchrow(statement("read_job"), tenant_no, job_id, MAX_COUNTED_BEFORE)
    if row is None:
        raise absent_job()
    return JobRead(**row)


async def find_job(engine: Engine, tenant_no: int, job_id: str) -> int:
    """Return the job's key; raise NotFound if the tenant has no job with this id."""
    refuse_impossible(job_id)
    async with connect(engine) as connection:
        return await look_up_job(connection, tenant_no, job_id)


async def look_up_job(connection: Connection, tenant_no: int, job_id: str) -> int:
    """Return the job's key as `find_job` does, on the caller's connection."""
    refuse_impossible(job_id)
    job_no: int | None = await connection.fetchval(statement("find_job"), tenant_no, job_id)
    if job_no is None:
        raise absent_job()
    return job_no


async def find_job_status(engine: Engine, tenant_no: int, job_id: str) -> tuple[int, str]:
    """Return the job's key and its status; raise NotFound if the tenant has no job with this id."""
    refuse_impossible(job_id)
    async with connect(engine) as connection:
        row = await connection.fetchrow(statement("read_event_state"), tenant_no, job_id)
    if row is None:
        raise absent_job()
    return row["job_no"], row["status"]


async def find_closed_jobs(engine: Engine, job_nos: Collection[int]) -> Sequence[int]:
    """Return which of these jobs have ended, or are gone."""
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("find_closed_jobs"), list(job_nos))
    return [row["job_no"] for row in rows]


async def read_job_state(connection: Connection, job_no: int) -> JobState:
    """Return the kind and progress of the job with this key; raise NotFound for an unknown key."""
    row = await connection.fetchrow(statement("read_job_state"), job_no)
    if row is None:
        raise absent_job()
    return JobState(**row)


async def list_jobs(engine: Engine, tenant_no: int, wanted: JobFilter, *, before: int | None, limit: int) -> JobPage:
    """Return the tenant's jobs that match, newest first, with keys below `before`.

    By a filter that no index serves, a page looks at MOST_LOOKED_AT jobs and may have fewer items, or none.
    """
    is_bounded = not is_found_by_index(wanted)
    looked_at = newest_jobs(tenant_no, before).limit(MOST_LOOKED_AT)
    rows = narrowed(_listed(tenant_no), wanted)
    if is_bounded:
        looked = looked_at.subquery()
        rows = rows.join(looked, looked.c.job_no == col(Job.job_no))
    elif before is not None:
        rows = rows.where(col(Job.job_no) < before)

    async def newest(session: AsyncSession) -> tuple[Sequence[Any], int | None]:
        connection = await session.connection()
        found = list(await connection.execute(rows.order_by(col(Job.job_no).desc()).limit(limit + 1)))
        if len(found) > limit:
            return found[:limit], found[limit - 1].job_no
        if not is_bounded:
            return found, None
        last = await connection.execute(newest_jobs(tenant_no, before).offset(MOST_LOOKED_AT - 1).limit(1))
        return found, last.scalar()

    found, next_before = await read(engine, newest)
    return JobPage([_job_listed(row) for row in found], next_before)


def refuse_impossible(job_id: str) -> None:
    """Raise NotFound for an id that no job can have; the driver can't even send some of those."""
    if not JOB_ID.fullmatch(job_id):
        raise absent_job()


def absent_job() -> NotFound:
    """Return the error for a job that this tenant doesn't have, though another may."""
    return NotFound("There is no job with this id.")


def _listed(tenant_no: int) -> Select[Any]:
    running = (
        select(func.coalesce(func.sum(col(Batch.open_cells)), 0))
        .where(col(Batch.job_no) == col(Job.job_no), col(Batch.status) == "running")
        .scalar_subquery()
        .label("running")
    )
    names = [name for name in JobListed.__dataclass_fields__ if name != "running"]
    return select(*(getattr(Job, name) for name in names), running).where(col(Job.tenant_no) == tenant_no)


def _counts(job: JobListed | JobRead) -> Counts:
    """Return counts that sum up to the plan; the audit checks the stored numbers."""
    open_cells = job.planned - job.completed - job.failed - job.cancelled - job.unknown
    running = max(0, min(job.running, open_cells))
    return Counts(
        planned=job.planned,
        pending=open_cells - running,
        running=running,
        completed=job.completed,
        failed=job.failed,
        cancelled=job.cancelled,
        unknown=job.unknown,
    )
