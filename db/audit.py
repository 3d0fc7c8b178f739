"""The audit: recounts jobs from their executions, and compares the results with the stored counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.engine import Connection, Engine, statement
from db.jobs import look_up_job
from db.reading import PAGE_BYTES, Slice, in_snapshot
from domain.errors import ParameterError, ParametersRejected

MUST_BE_ZERO = (
    "duplicates",
    "out_of_plan",
    "orphans",
    "progress_differs",
    "batches_differ",
    "waves_differ",
    "open_in_terminal",
    "tries_differ",
    "config_mismatches",
)
"""The fields of JobAudit that must be 0; any other value is a bug."""
MAX_JOBS = 5_000
MAX_CELLS = 1_000_000
"""The largest window of which totals are recounted: some 2.5 s (2026-11-23, two cores)."""
RECENT_JOBS = 200
RECENT_CELLS = 100_000


@dataclass(frozen=True, slots=True)
class JobAudit:
    """A recounted job. `out_of_plan` counts cells outside the plan and, once coordinated, missing planned cells.

    `tries_differ` counts cells whose number of recorded tries differs from their count, `incomplete` cells whose answer
    isn't whole, `unconfirmed_region` completed cells whose provider didn't name the serving region, `config_mismatches`
    tries and batches of imports that an identity served under which the job was never accepted. Cells that the built-in
    `echo` completed are `simulated`; rows that a newer import kept from being written are `superseded`; tries and
    batches of `unknown_configuration` ran before there was one.
    """

    job_no: int
    job_id: str
    status: str
    created_at: datetime
    planned: int
    terminal: int
    open: int
    duplicates: int
    out_of_plan: int
    orphans: int
    attempts: int
    external_calls: int
    progress_differs: int
    batches_differ: int
    waves_differ: int
    open_in_terminal: int
    tries_differ: int
    incomplete: int
    unconfirmed_region: int
    config_mismatches: int
    simulated: int
    superseded: int
    unknown_configuration: int

    @property
    def violations(self) -> list[str]:
        """The names of the violated invariants."""
        return [name for name in MUST_BE_ZERO if getattr(self, name)]


@dataclass(frozen=True, slots=True)
class ShownAudit:
    """A recounted job with what is shown of it alone.

    `generations` of an import hold for each record type its id, this import's generation, and the newest generation.
    """

    audit: JobAudit
    generations: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class WindowAudit:
    """The totals of a window of jobs, and a slice of it, newest first.

    Not `is_complete` where older jobs of the window were left out of the totals.
    """

    since: datetime
    until: datetime
    jobs: Sequence[JobAudit]
    is_complete: bool
    page: Slice[ShownAudit]
    checked_at: datetime


async def audit_job(engine: Engine, tenant_no: int, job_id: str) -> tuple[ShownAudit, datetime]:
    """Recount a job; return its audit and the database's time. Raise NotFound for an unknown job."""

    async def recount(connection: Connection) -> tuple[ShownAudit, datetime]:
        job_no = await look_up_job(connection, tenant_no, job_id)
        [audit] = await _audit(connection, [job_no])
        [generations] = (await _generations(connection, [job_no])).values()
        return ShownAudit(audit, generations), await connection.fetchval("SELECT now()")

    return await in_snapshot(engine, recount)


async def audit_window(
    engine: Engine,
    tenant_no: int,
    *,
    since: datetime | None,
    until: datetime | None,
    window: timedelta,
    before: int | None,
    limit: int,
) -> WindowAudit:
    """Recount the tenant's jobs created from `since` until before `until`, by default within the last `window`.

    The page has up to `limit` jobs, and about PAGE_BYTES of record types.
    Raises ParametersRejected where the window ends before it begins.
    """

    async def recount(connection: Connection) -> WindowAudit:
        checked_at: datetime = await connection.fetchval("SELECT now()")
        end = until or checked_at
        start = since or end - window
        if start > end:
            raise _reversed(start, end)
        within = (tenant_no, start, end)
        counted = await _newest(connection, within, before=None, jobs=MAX_JOBS, cells=MAX_CELLS)
        on_page = await _newest(connection, within, before=before, jobs=limit + 1, cells=None)
        generations = await _generations(connection, on_page[:limit])
        audits = await _audit(connection, sorted({*counted, *generations}))
        is_complete = not counted or not await _newest(connection, within, before=counted[-1], jobs=1, cells=None)
        by_no = {audit.job_no: audit for audit in audits}
        return WindowAudit(
            since=start,
            until=end,
            jobs=[by_no[job_no] for job_no in counted],
            is_complete=is_complete,
            page=Slice(
                [ShownAudit(by_no[job_no], shown) for job_no, shown in generations.items()],
                is_last=len(generations) == len(on_page),
            ),
            checked_at=checked_at,
        )

    return await in_snapshot(engine, recount)


def _reversed(start: datetime, end: datetime) -> ParametersRejected:
    window = f"begins {start.isoformat()} and ends {end.isoformat()}"
    detail = f"The window {window}, before it begins: give a `since` that is before `until`."
    return ParametersRejected([ParameterError("since", "reversed_window", detail)])


async def audit_recent(engine: Engine, tenant_no: int | None) -> Sequence[JobAudit]:
    """Recount the newest jobs of a tenant, None for all tenants; few enough for a scrape."""
    recent = (tenant_no, None, None)

    async def recount(connection: Connection) -> Sequence[JobAudit]:
        newest = await _newest(connection, recent, before=None, jobs=RECENT_JOBS, cells=RECENT_CELLS)
        return await _audit(connection, newest)

    return await in_snapshot(engine, recount)


async def _newest(
    connection: Connection,
    within: tuple[int | None, datetime | None, datetime | None],
    *,
    before: int | None,
    jobs: int,
    cells: int | None,
) -> Sequence[int]:
    """Return the newest jobs of (tenant, since, until), up to so many jobs and about so many cells."""
    rows = await connection.fetch(statement("list_audited_jobs"), *within, before, jobs, cells)
    return [row["job_no"] for row in rows]


async def _generations(connection: Connection, job_nos: Sequence[int]) -> Mapping[int, Sequence[tuple[str, int, int]]]:
    """Return the generations of the first of these jobs, newest first, of about PAGE_BYTES."""
    rows = await connection.fetch(statement("list_generations"), job_nos, PAGE_BYTES)
    return {row["job_no"]: row["generations"] for row in rows}


async def _audit(connection: Connection, job_nos: Sequence[int]) -> Sequence[JobAudit]:
    rows = await connection.fetch(statement("audit_jobs"), job_nos)
    return [JobAudit(**row) for row in rows]
