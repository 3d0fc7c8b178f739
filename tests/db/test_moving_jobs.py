"""Jobs that a changed configuration holds are accepted anew by pages: whole, once each, and past no other writer."""

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from configuration import applying
from configuration.applying import Applied, move_jobs
from configuration.content import Content
from db import configurations
from db.engine import Connection, Engine, connect
from db.events import BEFORE_ALL, find_event_holder, read_events_after
from db.tenants import DEFAULT_TENANT_NO
from runtime.errors import StartError
from tests.support.configurations import commit, content_of, notify_nobody
from tests.support.connections import database_connections
from tests.support.controls import waits_for_a_lock
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import plan_under

JOBS = 5
MANY_JOBS = 100_000
COPIES = 2_000
PAGE = 16
MOST_READ = 200
LONGEST_SECONDS = 5
"""For which events of others may be held back by so many jobs; a session is ended after HOLD_SECONDS, which is 20."""
PAGES = "SELECT count(DISTINCT xmin::text) FROM jobs"
EVENTS = "SELECT job_no, count(*) AS events FROM events WHERE type = 'accepted_anew' GROUP BY job_no ORDER BY job_no"
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = $1"
HELD = "SELECT count(*) FROM jobs WHERE NOT identity_nos <@ current_identities()"
COPY = """
INSERT INTO {table}
SELECT r.*
FROM {table} AS t
CROSS JOIN generate_series(1001, 1000 + {copies}) AS n
CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object('job_no', t.job_no + n) || {changed}) AS r
WHERE t.job_no = $1
"""
CHANGED = {
    "jobs": "jsonb_build_object('id', t.id || '-' || n, 'spec_hash', t.spec_hash || n)",
    **dict.fromkeys(("waves", "batches", "ready"), "'{}'"),
}
WRITE = """
UPDATE jobs SET last_event_no = last_event_no + 1
WHERE job_no = $1
RETURNING write_event(job_no, last_event_no, 'progressed', 'a test', '{}')
"""


def provider_at(port: int) -> Content:
    url = f"http://127.0.0.1:{port}/v1"
    return content_of({"providers": {"hybrid": {"type": "openai", "base_urls": {"us-east": url}}}})


def hybrid_job() -> dict[str, Any]:
    return {**job_body(), "models": [{"id": "m", "provider": "hybrid"}]}


async def store_copies(connection: Connection, count: int) -> None:
    """Store a job that is planned under configuration 2, so many times."""
    (copied,) = await store_jobs(connection, [hybrid_job()])
    [identity_no] = await connection.fetchval("SELECT current_identities()")
    await plan_under(connection, 2, identity_no)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table, changed in CHANGED.items():
            await connection.execute(COPY.format(table=table, copies=count - 1, changed=changed), copied)


@pytest.fixture
async def held(engine: Engine, connection: Connection) -> tuple[Sequence[int], Applied]:
    """Jobs that the configuration in force holds, and how it was applied."""
    await commit(engine, provider_at(1))
    job_nos = await store_jobs(connection, [hybrid_job() for _ in range(JOBS)])
    applied = await commit(engine, provider_at(2))
    assert applied.held.count == JOBS
    return job_nos, applied


async def test_jobs_are_moved_a_page_in_a_transaction_and_reported_as_a_sum(
    engine: Engine, connection: Connection, held: tuple[Sequence[int], Applied], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "JOBS_AT_ONCE", 2)
    job_nos, applied = held
    moved = await move_jobs(engine, applied, by="a test", on_moved=notify_nobody)
    assert (moved.moved, moved.held.count) == (JOBS, 0)
    assert await connection.fetchval(PAGES) == 3
    assert await connection.fetch(EVENTS) == [(job_no, 1) for job_no in job_nos]
    entered = await connection.fetch(
        """
        SELECT action, account, (target ->> 'jobs')::int AS jobs, outcome FROM audit_entries
        WHERE action <> 'config apply'
        ORDER BY entry_no
        """
    )
    assert entered == [("config apply --move-jobs", "a test", jobs, "done") for jobs in (2, 2, 1)]


async def test_moving_that_was_ended_half_way_is_gone_on_with(
    engine: Engine, connection: Connection, held: tuple[Sequence[int], Applied], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "JOBS_AT_ONCE", 2)
    job_nos, applied = held
    async with connection.transaction():
        await connection.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", job_nos[3])
        moving = asyncio.create_task(move_jobs(engine, applied, by="a test", on_moved=notify_nobody))
        await waits_for_a_lock(connection, moving)
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
    assert await connection.fetchval(HELD) == JOBS - 2
    moved = await commit(engine, provider_at(2), moves_jobs=True)
    assert (moved.is_new, moved.moved, moved.held.count) == (False, JOBS - 2, 0)
    assert await connection.fetch(EVENTS) == [(job_no, 1) for job_no in job_nos]


async def test_no_job_is_moved_any_more_once_another_configuration_is_in_force(
    engine: Engine, connection: Connection, held: tuple[Sequence[int], Applied]
) -> None:
    _, applied = held
    await commit(engine, provider_at(3))
    with pytest.raises(StartError, match=r"Another configuration than \d+ was applied meanwhile. 0 open jobs"):
        await move_jobs(engine, applied, by="a test", on_moved=notify_nobody)
    assert await connection.fetchval(HELD) == JOBS
    assert await connection.fetch(EVENTS) == []


async def test_a_notice_follows_each_page_even_one_that_failed(
    engine: Engine, connection: Connection, held: tuple[Sequence[int], Applied], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "JOBS_AT_ONCE", 2)
    job_nos, applied = held
    notices = []

    async def notify() -> None:
        async with connect(engine) as looking:
            notices.append(await looking.fetchval(HELD))

    async with connection.transaction():
        await connection.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", job_nos[3])
        moving = asyncio.create_task(move_jobs(engine, applied, by="a test", on_moved=notify))
        await waits_for_a_lock(connection, moving)
        assert notices == [JOBS - 2]
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
    assert notices == [JOBS - 2, JOBS - 2]


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_is_moved_without_reading_the_jobs_that_were_moved_before(
    engine: Engine, connection: Connection, mode: str, *, is_analyzed: bool
) -> None:
    await connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    await commit(engine, provider_at(1))
    await store_copies(connection, COPIES)
    applied = await commit(engine, provider_at(2))
    job_nos = [row["job_no"] for row in await connection.fetch("SELECT job_no FROM jobs ORDER BY job_no")]
    configuration_no = applied.configuration.number
    move = partial(
        configurations.move_jobs, connection, configuration_no=configuration_no, to_other_services=True, by="a test"
    )
    async with connection.transaction():
        assert await move(job_nos=job_nos[PAGE:]) == COPIES - PAGE
    if is_analyzed:
        await connection.execute("ANALYZE jobs, batches, ready")
    await connection.execute(f"SET plan_cache_mode = {mode}")
    async with connection.transaction():
        before = await connection.fetchval(READ, "jobs")
        assert await move(job_nos=job_nos[:PAGE]) == PAGE
        assert 0 < await connection.fetchval(READ, "jobs") - before < MOST_READ
    assert await connection.fetchval("SELECT array_agg(DISTINCT identity_no) = current_identities() FROM ready")


async def test_looking_for_released_batches_reads_those_of_no_job_that_has_none(
    engine: Engine, connection: Connection
) -> None:
    await commit(engine, provider_at(1))
    await store_copies(connection, COPIES)
    assert (await commit(engine, provider_at(2), moves_jobs=True)).moved == COPIES
    async with connection.transaction():
        before = await connection.fetchval(READ, "batches")
        assert await configurations.move_released_batches(connection) == []
        assert await connection.fetchval(READ, "batches") == before


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_moving_very_many_jobs_holds_back_no_reader_for_long(
    engine: Engine, connection: Connection, database_url: str
) -> None:
    await commit(engine, provider_at(1))
    await store_copies(connection, MANY_JOBS)
    await connection.execute("ANALYZE jobs, batches, ready")
    applied = await commit(engine, provider_at(2))
    assert applied.held.count == MANY_JOBS
    (written_to,) = await store_jobs(connection, [hybrid_job()])  # isn't moved, so its writer waits for no row
    began = time.monotonic()
    moving = asyncio.create_task(move_jobs(engine, applied, by="a test", on_moved=notify_nobody))
    longest, place, ended = 0.0, BEFORE_ALL, []
    async with database_connections(database_url) as (writer,):
        while not moving.done():
            await writer.execute(WRITE, written_to)
            read = await read_events_after(engine, DEFAULT_TENANT_NO, place, limit=1000)
            place = read.events[-1].place if read.events else place
            ended += read.ended_sessions
            holder = await find_event_holder(writer)
            longest = max(longest, holder.behind_seconds if holder else 0.0)
    seconds = time.monotonic() - began
    assert (await moving).moved == MANY_JOBS
    sys.stdout.write(f"\n{MANY_JOBS:,} jobs were moved in {seconds:.1f} s; events waited {longest:.2f} s at most\n")
    assert ended == []
    assert longest < LONGEST_SECONDS
