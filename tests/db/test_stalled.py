"""A process stopped in the midst of a statement: no limit of the server ends its session, and another worker does."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import stalled
from db.engine import UNAVAILABLE, Connection, Engine, connect, create_engine
from db.stalled import StalledSessions
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, counter_total
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

OURS = "worker-0123456789ab"
LEADER = """
INSERT INTO leaders (duty, worker_no, fence, lease_until, worked_at) VALUES ('reconciling', 99, 1, now(), now())
"""
AT_WORK = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = $1 AND state = 'active' AND (wait_event = 'PgSleep' OR query ~* '^copy')
"""
QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=2, name=OURS)
    yield engine
    await engine.dispose()


@pytest.fixture
async def somebody(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url, server_settings={"application_name": "psql"})
    yield connection
    await connection.close()


@pytest.fixture
def sessions() -> StalledSessions:
    return StalledSessions()


async def test_a_session_that_prepared_a_statement_and_says_nothing_more_is_ended(
    engine: Engine, connection: Connection, sessions: StalledSessions
) -> None:
    with pytest.raises(UNAVAILABLE):  # noqa: PT012
        async with connect(engine) as still, still.transaction():
            await still.execute("LOCK TABLE tenants")
            prepared = await still.prepare("SELECT 1")
            assert await sessions.end(connection, seconds=60) == []
            assert await eventually_async(lambda: sessions.end(connection, seconds=0), what="it is ended") == [OURS]
            await connection.execute("SELECT FROM tenants")
            await prepared.fetch()


async def test_a_session_that_waited_for_a_lock_while_it_prepared_a_statement_has_its_time_from_then(
    engine: Engine, connection: Connection, somebody: asyncpg.Connection, sessions: StalledSessions
) -> None:
    async with connect(engine) as waits:
        async with somebody.transaction():
            await somebody.execute("LOCK TABLE tenants")
            preparing = asyncio.create_task(waits.prepare("SELECT count(*) FROM tenants"))
            longer = f"""
            SELECT clock_timestamp() - state_change > interval '0.3 s' FROM pg_stat_activity
            WHERE application_name = '{OURS}' AND wait_event_type = 'Lock'
            """
            await eventually_async(lambda: connection.fetchval(longer), what="it waits for the lock")
            assert await sessions.end(connection, seconds=0.2) == []
        prepared = await preparing
        assert await sessions.end(connection, seconds=0.2) == []
        assert await prepared.fetchval() == 1
        again = await waits.prepare("SELECT 1")
        assert await sessions.end(connection, seconds=0) == []
        assert await again.fetchval() == 1


async def test_working_idle_copying_and_foreign_sessions_are_left_alone(
    engine: Engine, connection: Connection, somebody: asyncpg.Connection, sessions: StalledSessions, monkeypatch
) -> None:
    go_on = asyncio.Event()

    async def rows() -> AsyncIterator[tuple[str]]:
        yield ("one",)
        await go_on.wait()

    async def copy() -> None:
        async with connect(engine) as copies:
            await copies.execute("CREATE TEMP TABLE copied (name text)")
            await copies.copy_records_to_table("copied", records=rows(), columns=["name"])

    async with connect(engine) as works, somebody.transaction():
        await somebody.prepare("SELECT 1")
        copying = asyncio.create_task(copy())
        working = asyncio.create_task(works.fetchval("SELECT 1 FROM pg_sleep(2)"))
        await eventually_async(lambda: _are_at_work(connection), what="one sleeps and one copies")
        for _ in range(20):
            assert await sessions.end(connection, seconds=0) == []
        assert await working == 1
        async with works.transaction():
            assert await sessions.end(connection, seconds=0) == []
        monkeypatch.setattr(stalled, "COMMAND_SECONDS", 0)
        stands_still = "the copy that stands still is ended"
        assert await eventually_async(lambda: sessions.end(connection, seconds=0), what=stands_still) == [OURS]
        go_on.set()
        with pytest.raises(UNAVAILABLE):
            await copying
        assert await somebody.fetchval("SELECT 1") == 1


async def _are_at_work(connection: Connection) -> bool:
    """Say whether both statements are executed: between preparing and executing one, its session does look stalled."""
    found: int = await connection.fetchval(AT_WORK, OURS)
    return found == 2


async def test_a_leader_that_was_stopped_in_the_midst_of_a_statement_is_followed(
    fleet: Fleet, connection: Connection, engine: Engine
) -> None:
    async with connect(engine) as still:
        await still.execute(LEADER)
        await still.execute("BEGIN")
        await still.execute("SELECT FROM leaders FOR UPDATE")
        await still.prepare("SELECT 1")
        await asyncio.to_thread(fleet.start, **QUICK)

        async def followed() -> bool:
            fence: int = await connection.fetchval("SELECT fence FROM leaders")
            return fence > 1

        await eventually_async(followed, what="the worker leads")
    assert await counter_total(connection, "breakwater_reconciled", reason="stalled_session") == 1
    assert fleet.workers[0].events("stalled_session_ended", session=OURS)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    await all_ended(connection)
