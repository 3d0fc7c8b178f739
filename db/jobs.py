"""Reading jobs: a single job, the list, and the internal key by an id."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, any_, exists, func, literal, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from db.engine import Connection, Engine, connect, statement
from db.reading import Slice, columns_of, read, sliced
from db.tables.batches import Batch
from db.tables.executions import Execution
from db.tables.imports import ImportBatch
from db.tables.jobs import Job, Spec
from domain.errors import NotFound

MAX_COUNTED_BEFORE = 10_000
"""Queued jobs that are counted before a job; further back no place is shown."""
LAST_CHARACTER = "\U0010ffff"
SUCCESS_RATE_MISSED = "success_rate_missed"
"""The code of a job that failed because too few of its cells succeeded."""
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
class JobFilter:
    """The filter of a list of jobs; `region` is canonical. `created_after` is inclusive, `created_before` exclusive.

    A job matches any of the `statuses`. `error_code` is the code of the job, or of one of its failed cells or batches.
    `metadata` holds the wanted text by key.
    """

    statuses: Sequence[str] = ()
    kind: str | None = None
    name: str | None = None
    name_prefix: str | None = None
    spec_hash: str | None = None
    error_code: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    region: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


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


async def list_jobs(
    engine: Engine, tenant_no: int, wanted: JobFilter, *, before: int | None, limit: int
) -> Slice[JobListed]:
    """Return the tenant's jobs, newest first, with keys below `before`."""
    rows = _narrowed(_listed(tenant_no), wanted)
    if before is not None:
        rows = rows.where(col(Job.job_no) < before)

    async def newest(session: AsyncSession) -> Sequence[Any]:
        connection = await session.connection()
        found = await connection.execute(rows.order_by(col(Job.job_no).desc()).limit(limit + 1))
        return list(found)

    found = await read(engine, newest)
    return sliced(found, limit, columns_of(JobListed))


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


def _narrowed(rows: Select[Any], wanted: JobFilter) -> Select[Any]:
    if wanted.statuses:
        rows = rows.where(col(Job.status).in_(wanted.statuses))
    if wanted.name is not None:
        rows = rows.where(col(Job.name) == wanted.name)
    if wanted.name_prefix is not None:
        rows = rows.where(*_begins_with(col(Job.name), wanted.name_prefix))
    if wanted.error_code is not None:
        rows = rows.where(_failed_with(wanted.error_code))
    if wanted.kind is not None:
        rows = rows.where(col(Job.kind) == wanted.kind)
    if wanted.created_after is not None:
        rows = rows.where(col(Job.created_at) >= wanted.created_after)
    if wanted.created_before is not None:
        rows = rows.where(col(Job.created_at) < wanted.created_before)
    return _narrowed_by_spec(rows, wanted)


def _narrowed_by_spec(rows: Select[Any], wanted: JobFilter) -> Select[Any]:
    if (wanted.spec_hash, wanted.model, wanted.region) == (None, None, None) and not wanted.metadata:
        return rows
    rows = rows.join(Spec, col(Spec.job_no) == col(Job.job_no)).where(col(Spec.tenant_no) == col(Job.tenant_no))
    if wanted.spec_hash is not None:
        rows = rows.where(col(Spec.spec_hash) == wanted.spec_hash)
    for name, value in wanted.metadata.items():
        rows = rows.where(func.json_extract_path_text(col(Spec.spec), "metadata", name) == value)
    if wanted.model is not None:
        rows = rows.where(col(Spec.model_ids).contains([wanted.model]))
    if wanted.region is not None:
        rows = rows.where(literal(wanted.region) == any_(col(Spec.region_ids)))
    return rows


def _begins_with(column: Any, prefix: str) -> list[ColumnElement[bool]]:
    """Return the condition that a text begins with `prefix`, as the index on names serves it under any collation."""
    return [column.op("~>=~")(prefix), column.op("~<~")(prefix + LAST_CHARACTER)]


def _failed_with(code: str) -> ColumnElement[bool]:
    """Return the condition that a job or a part of it failed with the code; a missed success rate stores no code."""
    by_success_rate = (col(Job.status) == "failed") & col(Job.error_code).is_(None) & (col(Job.failed) > 0)
    cell = exists().where(col(Execution.job_no) == col(Job.job_no), col(Execution.error_code) == code)
    batch = exists().where(col(ImportBatch.job_no) == col(Job.job_no), col(ImportBatch.error_code) == code)
    of_cells = (col(Job.failed) > 0) & (cell | batch)
    own = col(Job.error_code) == code
    return or_(own, of_cells, by_success_rate) if code == SUCCESS_RATE_MISSED else or_(own, of_cells)


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
