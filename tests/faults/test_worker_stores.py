"""Stores that forget, vanish or restart under load: workers live through it, and every job ends."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.connections import broker_client, database_connections, publish_envelopes
from tests.support.engines import OwnEngines
from tests.support.jobs import job_body, job_body_of, store_jobs
from tests.support.outcomes import all_ended, assert_audit, counter_total, statuses
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.4, "RECONCILE_SECONDS": 0.4}


@pytest.fixture
def own_fleet(own_engines: OwnEngines, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet over engines that may be killed."""
    fleet = Fleet(own_engines.database_url, own_engines.redis_url, tmp_path, QUICK)
    yield fleet
    fleet.close()


async def flush(redis_url: str) -> None:
    async with broker_client(redis_url) as client:
        await client.flushall()


async def running_jobs(connection) -> int:
    running: int = await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'running'")
    return running


async def test_a_stream_that_is_emptied_before_any_worker_comes(fleet: Fleet, connection) -> None:
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=3)] * 200))
    await flush(fleet.redis_url)
    fleet.start(2, **QUICK)
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 200}
    await assert_audit(connection)


async def test_envelopes_that_are_lost_are_published_again(fleet: Fleet, connection) -> None:
    """The workers look at the stream only, and everything of it is gone, the group with it."""
    fleet.start(2, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    await all_ended(connection)
    await flush(fleet.redis_url)
    await store_jobs(connection, [job_body(questions=3)] * 200)
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 201}
    assert await counter_total(connection, "breakwater_reconciled", reason="unannounced") > 0
    assert await counter_total(connection, "breakwater_duplicates_prevented") == 0
    await assert_audit(connection)


async def test_a_stream_that_is_emptied_again_and_again_under_load(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=0.02, **QUICK)
    for _ in range(10):
        await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=7)] * 20))
        await flush(fleet.redis_url)
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 200}
    await assert_audit(connection)


async def test_two_seconds_without_valkey(own_engines: OwnEngines, own_fleet: Fleet) -> None:
    workers = own_fleet.start(2, ECHO_DELAY_SECONDS=0.02)
    async with database_connections(own_fleet.database_url) as (connection,):
        await publish_envelopes(own_fleet.redis_url, await store_jobs(connection, [job_body_of(150)] * 40))
        await eventually_async(lambda: running_jobs(connection), what="load")
        own_engines.valkey.kill()
        killed_at = time.monotonic()
        await store_jobs(connection, [job_body_of(5)] * 20)
        for worker in workers:
            worker.wait_for("broker_unavailable")
        eventually(lambda: time.monotonic() - killed_at > 2)
        own_engines.valkey.start()
        await publish_envelopes(own_fleet.redis_url, await store_jobs(connection, [job_body_of(5)] * 20))
        await all_ended(connection)
        assert await statuses(connection) == {"completed": 80}
        assert all(worker.is_alive for worker in workers)
        await assert_audit(connection)


def crash(engines: OwnEngines) -> None:
    engines.postgres.kill_immediate()
    engines.postgres.start()


def restart(engines: OwnEngines) -> None:
    engines.postgres.stop()
    engines.postgres.start()


@pytest.mark.parametrize("fault", [crash, restart])
async def test_postgresql_goes_and_comes_back_under_load(
    own_engines: OwnEngines, own_fleet: Fleet, fault: Callable[[OwnEngines], None]
) -> None:
    workers = own_fleet.start(2, ECHO_DELAY_SECONDS=0.02, ECHO_FAILURE_RATE=0.1)
    for _ in range(3):
        async with database_connections(own_fleet.database_url) as (connection,):
            await publish_envelopes(own_fleet.redis_url, await store_jobs(connection, [job_body_of(150)] * 20))
            await eventually_async(lambda: running_jobs(connection), what="load")
            fault(own_engines)
    async with database_connections(own_fleet.database_url) as (connection,):
        await all_ended(connection)
        assert all(worker.is_alive for worker in workers), [worker.output.read_text()[-3000:] for worker in workers]
        assert sum((await statuses(connection)).values()) == 60
        await assert_audit(connection)


async def test_connections_that_an_operator_ends_are_made_again(own_engines: OwnEngines, own_fleet: Fleet) -> None:
    workers = own_fleet.start(2, ECHO_DELAY_SECONDS=0.02)
    async with database_connections(own_fleet.database_url) as (connection,):
        await publish_envelopes(own_fleet.redis_url, await store_jobs(connection, [job_body_of(150)] * 40))
        ended = 0
        while ended < 60:
            await eventually_async(lambda: running_jobs(connection), what="load")
            ended += await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'worker-%'"
            )
            if await running_jobs(connection) < 5:
                await publish_envelopes(own_fleet.redis_url, await store_jobs(connection, [job_body_of(40)] * 10))
        await all_ended(connection)
        assert all(worker.is_alive for worker in workers), [worker.output.read_text()[-3000:] for worker in workers]
        await assert_audit(connection)
