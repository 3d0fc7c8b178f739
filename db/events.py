"""Events, oldest first: those of a job by their numbers, those of all jobs in one order; and a job's submissions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, repeat
from typing import Any, NamedTuple

import asyncpg
from sqlmodel import col, select

from db.engine import Connection, Engine, connect, for_all_tenants, statement, tenant_of
from db.jobs import absent_job, find_job, look_up_job, refuse_impossible
from db.reading import PAGE_BYTES, Slice, bounded, columns_of, read_all, sliced
from db.tables.jobs import Submission
from domain.status import TERMINAL_JOB_STATUSES

HOLD_SECONDS = 20.0
"""So long a transaction that stays open may hold back events that others committed; its session is ended then. An idle
one is ended after 10 s anyway. The longest of ours moves 250 jobs to another configuration, within 1.3 s on
a busy machine (2026-11-30)."""
SCANNED_EVENTS = 2_000
"""So many events of all tenants are scanned for those of one, at most, by a statement."""
SCAN_SECONDS = 0.5
"""A look goes on scanning until it has found what was asked for or all there is, and ends by the time only: where it
ended by a number of events, its reader could count those of others."""


class EventPlace(NamedTuple):
    """Where an event stands among those of all jobs; `position` is 0 for those from before positions were drawn."""

    position: int
    job_no: int
    event_no: int


BEFORE_ALL = EventPlace(0, 0, 0)


@dataclass(frozen=True, slots=True)
class EventOfAll:
    """An event among those of all jobs."""

    place: EventPlace
    job_id: str
    type: str
    at: datetime
    source: str
    data: Any


@dataclass(frozen=True, slots=True)
class EventsRead:
    """The next events, and where reading goes on: behind all that was scanned, though nothing was found.

    `has_more` if more events may be read at once; else it is worth waiting for the next commit. `ended_sessions` are
    the names of sessions that were ended because they held back other events for too long.
    """

    events: Sequence[EventOfAll]
    place: EventPlace
    has_more: bool
    ended_sessions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EventHolder:
    """An open transaction behind which events that are committed wait, and for how long the first of them has.

    It is of a session (its name, and the server's process), or `prepared` under a name.
    """

    session: str | None
    pid: int | None
    prepared: str | None
    open_seconds: float | None
    behind_seconds: float


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
    submitted_by: str | None


async def list_events(engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int) -> Slice[EventRead]:
    """Return a job's events from above the number `after` on, up to `limit` and about PAGE_BYTES.

    Raises NotFound where there is no such job.
    """
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        rows = await connection.fetch(statement("list_events"), job_no, after, limit + 1, PAGE_BYTES)
    return bounded(rows, limit, columns_of(EventRead))


async def read_events_of_job(
    engine: Engine, tenant_no: int, job_id: str, *, after: int, limit: int
) -> tuple[Sequence[EventRead], bool]:
    """Return a job's events from above the number `after` on, and whether these are its last, since the job has ended.

    A retry begins it anew. Raises NotFound where there is no such job.
    """
    refuse_impossible(job_id)
    async with connect(engine) as connection:
        state = await connection.fetchrow(statement("read_event_state"), tenant_no, job_id)
        if state is None:
            raise absent_job()
        if state["last_event_no"] <= after:
            return [], state["status"] in TERMINAL_JOB_STATUSES
        rows = await connection.fetch(statement("list_events"), state["job_no"], after, limit + 1, PAGE_BYTES)
    return bounded(rows, limit, columns_of(EventRead)).facts, False


async def read_events_after(engine: Engine, tenant_no: int, place: EventPlace, *, limit: int) -> EventsRead:
    """Return the tenant's next events of all jobs after `place`, in one order for every reader.

    They are up to `limit` and about PAGE_BYTES, and those of other tenants are passed over for about SCAN_SECONDS at
    most. No event ever appears before one that was returned; of a job they come in the order of their numbers. What is
    committed is returned once no open transaction can write an event that comes before it: after HOLD_SECONDS and a
    look at the latest, unless that transaction is another user's, is prepared, or waits for a standby.
    """
    scan = statement("read_events" if tenant_of(engine) is None else "read_events_of_tenant")
    async with connect(engine) as connection:
        # Two statements: the second must see all that was committed by the transactions that had ended by the first.
        [readable] = await connection.fetch(statement("find_readable_events"))
        found = await _scan(connection, scan, tenant_no, place, readable["position"], limit=limit)
    if readable["are_held"] and not found.has_more:
        async with connect(for_all_tenants(engine)) as connection:
            found = replace(found, ended_sessions=await _end_late_writers(connection))
    return found


async def find_latest_place(engine: Engine) -> EventPlace:
    """Return the place behind all events that can be read now, of all tenants."""
    async with connect(engine) as connection:
        [readable] = await connection.fetch(statement("find_readable_events"))
    return EventPlace(readable["position"], 0, 0)


async def _scan(
    connection: Connection, scan: str, tenant_no: int, place: EventPlace, last: int, *, limit: int
) -> EventsRead:
    """Read on from `place` up to the position `last`."""
    found: list[EventOfAll] = []
    room = PAGE_BYTES
    ends_at = time.monotonic() + SCAN_SECONDS
    for scanned in chain((limit,), repeat(SCANNED_EVENTS)):  # first as if all events were the tenant's
        rows = await connection.fetch(scan, tenant_no, *place, last, limit - len(found), scanned, room)
        found += [_event_of_all(row) for row in rows if row["job_id"] is not None]
        place = _end_of_scan(rows[-1]) if rows else place
        is_full = len(found) == limit or (bool(rows) and len(rows) < rows[0]["found"])
        is_cut = is_full or (bool(rows) and rows[-1]["scanned"] == scanned)
        room -= sum(row["bytes"] for row in rows)
        is_late = scanned == SCANNED_EVENTS and time.monotonic() > ends_at
        if is_full or room <= 0 or not is_cut or is_late:
            break
    return EventsRead(found, place, has_more=is_cut)


async def find_event_holder(connection: Connection) -> EventHolder | None:
    """Return the transaction that holds back readers of events most; None where no committed event waits."""
    row = await connection.fetchrow(statement("find_event_holder"))
    return EventHolder(**row) if row else None


async def _end_late_writers(connection: Connection) -> list[str]:
    rows = await connection.fetch(statement("end_late_event_writers"), HOLD_SECONDS)
    return [row["name"] for row in rows]


def _place(row: asyncpg.Record) -> EventPlace:
    return EventPlace(row["position"], row["job_no"], row["event_no"])


def _end_of_scan(row: asyncpg.Record) -> EventPlace:
    """Return the place of the last scanned event; its numbers, which may be another tenant's, only if they matter."""
    return EventPlace(row["position"], 0, 0) if row["position"] else _place(row)


def _event_of_all(row: asyncpg.Record) -> EventOfAll:
    return EventOfAll(_place(row), row["job_id"], row["type"], row["at"], row["source"], row["data"])


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
