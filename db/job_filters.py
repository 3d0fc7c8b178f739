"""Filters of jobs: which jobs a list shows, and an action over a filter takes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Select, any_, bindparam, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import col

from db.engine import Connection
from db.tables.executions import Execution
from db.tables.imports import ImportBatch
from db.tables.jobs import Job, Spec
from domain.status import JobStatus

MOST_LOOKED_AT = 50_000
"""Jobs that a page looks at by a filter that no index serves: 0.3 s where each spec is read (2026-11-30, two cores)."""
OPEN = frozenset({JobStatus.QUEUED, JobStatus.COORDINATING, JobStatus.RUNNING})
Matcher: TypeAlias = Callable[[Connection, Sequence[int]], Awaitable[Sequence[int]]]
"""Tells which of the jobs with these keys match a filter at this moment."""
SOME = "some_job_nos"
NOTHING: Mapping[str, Any] = {}
LAST_CHARACTER = "\U0010ffff"
SUCCESS_RATE_MISSED = "success_rate_missed"
"""The code of a job that failed because too few of its cells succeeded."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """The filter of a list of jobs; `region` is canonical. Moments `_after` are inclusive, those `_before` exclusive.

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
    finished_after: datetime | None = None
    finished_before: datetime | None = None


async def match_jobs(connection: Connection, tenant_no: int, wanted: JobFilter, *, limit: int) -> Sequence[int]:
    """Return the keys of the tenant's jobs that match in one snapshot, in ascending order, `limit` at most."""
    rows = narrowed(_of_tenant(tenant_no), wanted).order_by(col(Job.job_no)).limit(limit)
    query = _compiled(rows)
    return [row[0] for row in await connection.fetch(str(query), *_values(query))]


def matcher(tenant_no: int, wanted: JobFilter) -> Matcher:
    """Return the function that tells which of some jobs of the tenant match at that moment."""
    rows = narrowed(_of_tenant(tenant_no), wanted)
    query = _compiled(rows.where(col(Job.job_no) == any_(bindparam(SOME, [], ARRAY(BigInteger)))))
    text = str(query)  # once: making it takes a third of a millisecond (2026-11-30)

    async def matches(connection: Connection, job_nos: Sequence[int]) -> Sequence[int]:
        return [row[0] for row in await connection.fetch(text, *_values(query, {SOME: job_nos}))]

    return matches


def newest_jobs(tenant_no: int, before: int | None) -> Select[Any]:
    """Return the query of the tenant's job keys, newest first, below `before`."""
    rows = _of_tenant(tenant_no).order_by(col(Job.job_no).desc())
    return rows if before is None else rows.where(col(Job.job_no) < before)


def is_found_by_index(wanted: JobFilter) -> bool:
    """Return whether an index finds the jobs that match, or few more: by name, content, model or an open state.

    One does by any state alone, or without a filter, since as many are read as are shown.
    """
    by_index = (wanted.name, wanted.name_prefix, wanted.spec_hash, wanted.model)
    is_open = bool(wanted.statuses) and OPEN.issuperset(wanted.statuses)
    return is_open or by_index != (None,) * len(by_index) or replace(wanted, statuses=()) == JobFilter()


def narrowed(rows: Select[Any], wanted: JobFilter) -> Select[Any]:
    """Return the jobs among `rows` that match."""
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
    if wanted.finished_after is not None:
        rows = rows.where(col(Job.finished_at) >= wanted.finished_after)
    if wanted.finished_before is not None:
        rows = rows.where(col(Job.finished_at) < wanted.finished_before)
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


def _of_tenant(tenant_no: int) -> Select[Any]:
    return select(col(Job.job_no)).where(col(Job.tenant_no) == tenant_no)


def _compiled(query: Select[Any]) -> SQLCompiler:
    """Return a query for the driver's connection."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    return query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})


def _values(query: SQLCompiler, given: Mapping[str, Any] = NOTHING) -> list[Any]:
    """Return the values of a query's parameters in their order, those of `given` by name."""
    values = {**query.params, **given}
    return [values[name] for name in query.positiontup or ()]
