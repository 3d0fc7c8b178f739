"""A worker survives cancelled statements, refused rows, held locks, unreadable entries and a lost Redis."""

import pytest

from broker.envelopes import FIELD, GROUP, STREAM, Envelope
from tests.support.connections import broker_client, database_connections, publish_envelopes, waiting_in
from tests.support.engines import OwnEngines
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, statuses
from tests.support.provider_server import ProviderServer, answer, held
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 1.5, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.4}
FLUSH = "advance_jobs"


@pytest.fixture
def calls(fleet: Fleet, provider: ProviderServer) -> ProviderServer:
    """The provider of the fleet's workers; it answers once it is released."""
    provider.behave = held(answer())
    fleet.use_config(provider.config())
    return provider


async def test_a_cancelled_statement_delays_results(
    fleet: Fleet, calls: ProviderServer, connection, database_url: str
) -> None:
    (worker,) = fleet.start(**QUICK)
    (job_no,) = await store_jobs(connection, [job_body(questions=5)])
    await publish_envelopes(fleet.redis_url, [job_no])
    eventually(lambda: calls.in_flight == 5, what="all calls are out")
    async with database_connections(database_url) as (other,), other.transaction():
        await other.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", job_no)
        calls.release()
        pid = await eventually_async(lambda: waiting_in(connection, FLUSH), what="the flush waits for the job")
        assert await connection.fetchval("SELECT pg_cancel_backend($1)", pid)
        worker.wait_for("flush_delayed")
    await all_ended(connection)
    assert worker.is_alive
    assert await attempts(connection) == {("completed", 1): 5}
    await assert_audit(connection)


async def test_a_row_that_the_database_refuses_harms_no_other(fleet: Fleet, calls: ProviderServer, connection) -> None:
    """The first job's cell has as many attempts as its column holds, so that one more is refused."""
    (worker,) = fleet.start(**QUICK)
    spoilt, *sound = await store_jobs(connection, [job_body(questions=2)] * 4)
    await publish_envelopes(fleet.redis_url, [spoilt, *sound])
    eventually(lambda: calls.in_flight == 8, what="all calls are out")
    await connection.execute("UPDATE executions SET attempts = 32767 WHERE job_no = $1 AND question_no = 0", spoilt)
    calls.release()
    worker.wait_for("results_refused", job_no=spoilt)
    await all_but(connection, spoilt)
    assert worker.is_alive
    assert await statuses(connection) == {"completed": 3, "running": 1}


async def all_but(connection, job_no: int) -> None:
    await eventually_async(
        lambda: connection.fetchval("SELECT bool_and(finished_at IS NOT NULL) FROM jobs WHERE job_no <> $1", job_no),
        what="the other jobs ended",
    )


async def test_leases_are_kept_while_results_wait_for_a_lock(
    fleet: Fleet, calls: ProviderServer, connection, database_url: str
) -> None:
    fleet.start(2, **QUICK)
    locked, other_job = await store_jobs(connection, [job_body(questions=3), job_body(questions=4)])
    await publish_envelopes(fleet.redis_url, [locked, other_job])
    eventually(lambda: calls.in_flight == 7, what="all calls are out")
    async with database_connections(database_url) as (other,), other.transaction():
        await other.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", locked)
        calls.release()
        await eventually_async(lambda: waiting_in(connection, FLUSH), what="a flush waits for the job")
        began = await connection.fetchval("SELECT now()")
        passed = "SELECT clock_timestamp() > $1::timestamptz + interval '3 s'"
        await eventually_async(lambda: connection.fetchval(passed, began), what="two leases passed")
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 7}
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="fence") == 0
    await assert_audit(connection)


async def test_a_worker_that_fills_itself_while_planning_publishes_an_envelope_for_the_others(
    fleet: Fleet, connection
) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=5, WORKER_CONCURRENCY=10, LEASE_SECONDS=60, RECONCILE_SECONDS=60)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=4, questions=20)]))
    await eventually_async(
        lambda: connection.fetchval("SELECT count(DISTINCT worker_no) = 2 FROM batches WHERE status = 'running'"),
        seconds=4,
        what="both workers run batches before the first call ends",
    )


async def test_an_unreadable_entry_stands_for_nothing(fleet: Fleet, connection) -> None:
    (job_no,) = await store_jobs(connection, [job_body()])
    async with broker_client(fleet.redis_url) as client:
        await client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        await client.xadd(STREAM, {FIELD: Envelope(job=10**6, source="initial", enqueued_at=0).to_bytes()})
        await client.xreadgroup(GROUP, "gone", {STREAM: ">"})
        await client.xgroup_delconsumer(STREAM, GROUP, "gone")
        (worker,) = fleet.start(**QUICK)
        await all_ended(connection)
        (lost,) = await store_jobs(connection, [job_body()])
        await all_ended(connection)
        assert worker.wait_for("reconciled", reason="unannounced")
        assert await client.xlen(STREAM) == 1
    assert {job_no, lost} == {row["job_no"] for row in await connection.fetch("SELECT job_no FROM jobs")}


async def test_a_dead_worker_is_replaced_while_redis_is_unavailable(own_engines: OwnEngines, tmp_path) -> None:
    fleet = Fleet(own_engines.database_url, own_engines.redis_url, tmp_path)
    try:
        async with database_connections(own_engines.database_url) as (connection,):
            (first,) = fleet.start(ECHO_DELAY_SECONDS=1.0, **QUICK)
            await publish_envelopes(own_engines.redis_url, await store_jobs(connection, [job_body(questions=5)]))
            await eventually_async(lambda: connection.fetchval("SELECT count(*) FROM batches"), what="it is claimed")
            first.kill()
            own_engines.valkey.kill()
            fleet.start(**QUICK)
            await all_ended(connection)
            await assert_audit(connection)
    finally:
        fleet.close()


async def test_a_hint_of_a_deleted_job_goes_with_it(fleet: Fleet, connection) -> None:
    doomed, *_ = await store_jobs(connection, [job_body(questions=2)] * 5)
    (worker,) = fleet.start(ECHO_DELAY_SECONDS=60, WORKER_CONCURRENCY=1, LEASE_SECONDS=60, RECONCILE_SECONDS=60)
    await publish_envelopes(fleet.redis_url, [doomed])
    await eventually_async(lambda: connection.fetchval("SELECT count(*) FROM ready"), what="a batch waits")
    worker.kill()
    async with connection.transaction():
        for table in ("jobs", "executions"):
            await connection.execute(f"DELETE FROM {table}")
    assert await connection.fetchval("SELECT count(*) FROM ready") == 0
