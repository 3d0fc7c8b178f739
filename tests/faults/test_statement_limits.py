"""A database whose administrator set `lock_timeout` or `statement_timeout`, and a lock that outlasts it: work waits.

Judged by the provider's own log: each cell was asked once, and its answer is what was recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from db.engine import Connection
from tests.support.connections import database_connections, publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.provider_server import ProviderServer, answer, held
from tests.support.service import StartProcess, unique
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet, RunningWorker

LIMITS = ["lock_timeout", "statement_timeout"]
QUICK = {"LEASE_SECONDS": 1.5, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.4}
TABLES = ["executions", "batches", "waves", "jobs", "events", "ready", "pools", "tallies", "workers"]
TABLES_BY_LIMIT = {"lock_timeout": TABLES, "statement_timeout": ["executions", "batches"]}
CELLS = 4
DELAYS = ("flush_delayed", "heartbeat_delayed", "claim_delayed", "reconcile_delayed", "doorbells_delayed")

SLOW_ROWS = """
CREATE FUNCTION slow_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
CREATE TRIGGER slow_row BEFORE UPDATE ON executions FOR EACH ROW EXECUTE FUNCTION slow_row();
"""


@pytest.fixture
def limited(connection: Connection) -> Callable[[str, str], Awaitable[None]]:
    async def limit(name: str, value: str) -> None:
        database = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{value}'")

    return limit


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncIterator[None]:
    """Somebody else's lock of a table, as an ALTER TABLE takes it."""
    async with (
        database_connections(database_url, lock_timeout="0", statement_timeout="0") as (other,),
        other.transaction(),
    ):
        await other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def delays(worker: RunningWorker) -> int:
    return sum(len(worker.events(event)) for event in DELAYS)


async def seconds_pass(connection, seconds: float) -> None:
    began = await connection.fetchval("SELECT clock_timestamp()")
    passed = "SELECT clock_timestamp() > $1::timestamptz + $2::float8 * interval '1 s'"
    await eventually_async(
        lambda: connection.fetchval(passed, began, seconds), seconds=seconds + 10, what="time passed"
    )


def start(fleet: Fleet, provider: ProviderServer, *, max_concurrent: int = 10, **settings: object) -> RunningWorker:
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=max_concurrent))
    (worker,) = fleet.start(CONFIG=config, **settings)
    return worker


async def answered_under_lock(
    fleet: Fleet, connection, provider: ProviderServer, *, table: str, seconds: float = 0.0
) -> None:
    """Let a job's cells be answered while a table is locked: for so long, and until the worker met the limit."""
    worker = fleet.workers[0]
    provider.behave = held(answer("four"))
    provider.hold()
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=CELLS)]))
    eventually(lambda: provider.in_flight == CELLS, what="all cells are asked")
    before = delays(worker)
    async with locked(fleet.database_url, table):
        provider.release()
        await seconds_pass(connection, seconds)
        eventually(lambda: delays(worker) > before, what=f"the limit is met: {table}")
    await all_ended(connection)


async def assert_nothing_lost(connection, provider: ProviderServer, worker: RunningWorker, *, jobs: int) -> None:
    assert worker.is_alive, worker.output.read_text()[-3000:]
    assert not worker.events("results_refused")
    assert await attempts(connection) == {("completed", 1): jobs * CELLS}
    assert len(provider.calls) == jobs * CELLS
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    await assert_audit(connection)


@pytest.mark.parametrize("limit", LIMITS)
async def test_no_paid_answer_is_lost_to_a_limit_of_the_server(
    fleet: Fleet, connection, provider: ProviderServer, limited, limit: str
) -> None:
    await limited(limit, "200ms")
    worker = start(fleet, provider, LEASE_SECONDS=30, HEARTBEAT_SECONDS=0.2, RECONCILE_SECONDS=0.4)
    for table in TABLES_BY_LIMIT[limit]:
        await answered_under_lock(fleet, connection, provider, table=table)
    await assert_nothing_lost(connection, provider, worker, jobs=len(TABLES_BY_LIMIT[limit]))


async def test_a_lock_that_outlasts_the_leases_ends_no_worker(
    fleet: Fleet, connection, provider: ProviderServer, limited
) -> None:
    await limited("lock_timeout", "200ms")
    worker = start(fleet, provider, **QUICK)
    await answered_under_lock(fleet, connection, provider, table="batches", seconds=2.0)
    await assert_nothing_lost(connection, provider, worker, jobs=1)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("limit", LIMITS)
async def test_locks_of_4_and_14_seconds_lose_nothing_under_a_limit_of_1_second(
    fleet: Fleet, connection, provider: ProviderServer, limited, limit: str
) -> None:
    await limited(limit, "1s")
    worker = start(fleet, provider, LEASE_SECONDS=5, HEARTBEAT_SECONDS=1, RECONCILE_SECONDS=1)
    for table in TABLES:
        await answered_under_lock(fleet, connection, provider, table=table, seconds=4.0)
    for table in ("batches", "executions"):
        await answered_under_lock(fleet, connection, provider, table=table, seconds=14.0)
    await assert_nothing_lost(connection, provider, worker, jobs=len(TABLES) + 2)


async def test_a_call_that_must_not_repeat_waits_for_its_start_to_be_recorded(
    fleet: Fleet, connection, provider: ProviderServer, limited
) -> None:
    await limited("lock_timeout", "200ms")
    worker = start(fleet, provider, LEASE_SECONDS=30, HEARTBEAT_SECONDS=0.2, RECONCILE_SECONDS=0.4)
    policy = {"delivery": "at_most_once", "max_concurrent": 1}
    provider.behave = held(answer("four"))
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=CELLS, policy=policy)]))
    eventually(lambda: provider.in_flight == 1, what="the first cell is asked")
    async with locked(fleet.database_url, "executions"):
        provider.release()
        worker.wait_for("marks_delayed")
        assert len(provider.calls) == 1
    await all_ended(connection)
    assert not worker.events("marks_refused")
    await assert_nothing_lost(connection, provider, worker, jobs=1)


async def test_a_post_under_a_lock_is_asked_to_come_back(
    database_url: str, redis_url: str, connection, limited, start_api: StartProcess
) -> None:
    await limited("lock_timeout", "200ms")
    api = start_api(database_url, redis_url)
    async with httpx2.AsyncClient(base_url=api.url, timeout=20) as client:
        async with locked(database_url, "jobs"):
            refused = await client.post("/jobs", json=unique())
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["Retry-After"]) >= 1
            asked = [*(client.get(path) for path in ("/jobs", "/jobs/j", "/queue")), client.post("/jobs/j/cancel")]
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [503] * 4
        assert (await client.post("/jobs", json=unique())).status_code == 202
    assert api.is_alive


async def test_results_that_take_longer_together_than_a_statement_may_are_recorded_apart(
    fleet: Fleet, connection, provider: ProviderServer, limited
) -> None:
    """80 rows of 20 ms each, and statements of half a second: of a batch of 8 they take a third of that.

    The flush that waits for the table may hold any number of the ten batches, and the next one the others: one of
    them has five at least, which take longer.
    """
    await limited("statement_timeout", "500ms")
    await connection.execute(SLOW_ROWS)
    worker = start(fleet, provider, max_concurrent=100, LEASE_SECONDS=30, HEARTBEAT_SECONDS=5, RECONCILE_SECONDS=5)
    provider.behave = held(answer("four"))
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=8)] * 10))
    eventually(lambda: provider.in_flight == 80, what="all cells are asked")
    async with locked(fleet.database_url, "executions"):
        provider.release()
        worker.wait_for("flush_delayed")
        eventually(lambda: not provider.in_flight, what="all are answered")
    await all_ended(connection)
    assert any(event["batches"] >= 5 for event in worker.events("flush_delayed"))
    assert await attempts(connection) == {("completed", 1): 80}
    await assert_audit(connection)


async def test_leases_are_renewed_while_the_table_of_workers_is_locked(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    worker = start(fleet, provider, **QUICK)
    other = start(fleet, provider, **QUICK)
    provider.behave = held(answer("four"))
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=CELLS)]))
    eventually(lambda: provider.in_flight == CELLS, what="all cells are asked")
    async with locked(fleet.database_url, "workers"):
        await seconds_pass(connection, 2.0)
    provider.release()
    await all_ended(connection)
    assert other.is_alive
    await assert_nothing_lost(connection, provider, worker, jobs=1)
