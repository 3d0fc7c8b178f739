"""Imports over several workers: a batch that one can't take or releases, another takes at once, without a timer."""

from collections.abc import AsyncIterator

import pytest

from db.engine import Connection
from tests.support.connections import broker_client, database_connections, publish_envelopes
from tests.support.erp_source import SCHEMA
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.import_steps import ImportSteps, import_steps, plan_of
from tests.support.outcomes import all_ended
from tests.support.waiting import eventually_async

SLOW_TIMERS = {"LEASE_SECONDS": 60, "HEARTBEAT_SECONDS": 5, "RECONCILE_SECONDS": 60, "SHUTDOWN_SECONDS": 1}


@pytest.fixture
async def ledger(fleet) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(fleet.database_url) as imports:
        yield imports


async def started(erp, connection: Connection, redis_url: str, *, max_concurrent: int) -> int:
    """Store and announce an import of many batches, and wait until it runs."""
    job_no = await announced(erp, connection, redis_url, max_concurrent=max_concurrent)

    async def running() -> bool:
        return await connection.fetchval("SELECT status = 'running' FROM jobs WHERE job_no = $1", job_no)

    await eventually_async(running)
    return job_no


async def announced(erp, connection: Connection, redis_url: str, *, max_concurrent: int) -> int:
    """Store and announce an import of many batches."""
    await erp.table("line", 20_000)
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.line"}
    policy = {"batch_size": 10, "max_concurrent": max_concurrent, "batches_per_wave": 5000}
    job_no = await store_import(connection, import_body({**table_type("line"), "source": source}, policy=policy))
    await publish_envelopes(redis_url, [job_no])
    return job_no


async def holders(connection: Connection) -> set[int]:
    rows = await connection.fetch("SELECT DISTINCT worker_no FROM batches WHERE status = 'running'")
    return {row["worker_no"] for row in rows}


async def reading(connection: Connection, batches: int) -> bool:
    return await connection.fetchval("SELECT count(*) FROM batches WHERE slots > 0") == batches


async def test_batches_that_a_worker_gives_back_are_taken_by_another_at_once(fleet, erp, connection, redis_url) -> None:
    fleet.start(2, **SLOW_TIMERS)
    job_no = await started(erp, connection, redis_url, max_concurrent=10)
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {SCHEMA}.line IN ACCESS EXCLUSIVE MODE")
        await eventually_async(lambda: reading(connection, 10))
        before = await holders(connection)
        assert len(before) == 1  # the other worker, which has looked, found the import at its limit
        first = next(worker for worker in fleet.workers if worker.events("job_coordinated"))
        first.stop()
        assert first.events("handed_back")

        async def taken() -> bool:
            now = await holders(connection)
            return bool(now) and now.isdisjoint(before)

        await eventually_async(taken, seconds=5)
    await all_ended(connection)
    assert await connection.fetchval("SELECT completed FROM jobs WHERE job_no = $1", job_no) == 2000


async def test_a_wide_import_is_shared_by_workers_that_got_no_envelope(fleet, erp, connection, redis_url) -> None:
    fleet.start(2, **SLOW_TIMERS)
    await started(erp, connection, redis_url, max_concurrent=60)
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {SCHEMA}.line IN ACCESS EXCLUSIVE MODE")

        async def shared() -> bool:
            return len(await holders(connection)) == 2

        await eventually_async(shared, seconds=5)
    await all_ended(connection)


async def test_an_import_that_waits_for_its_turn_is_looked_at_ever_more_seldom(
    fleet, erp, connection, redis_url
) -> None:
    """A worker coordinates four imports at a time; it keeps the fifth's envelope in hand while the sources count."""
    fleet.start(1, **{**SLOW_TIMERS, "HEARTBEAT_SECONDS": 0.5})
    await erp.table("line", 10)

    async def beats(since: object) -> bool:
        return await connection.fetchval("SELECT heartbeat_at > $1::timestamptz + interval '2 s' FROM workers", since)

    async with database_connections(fleet.database_url) as (other,), broker_client(redis_url) as client:
        async with other.transaction():
            await other.execute(f"LOCK TABLE {SCHEMA}.line IN ACCESS EXCLUSIVE MODE")
            source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.line"}
            bodies = [import_body({**table_type("line"), "source": source}, dataset=f"set {n}") for n in range(5)]
            await publish_envelopes(redis_url, [await store_import(connection, body) for body in bodies])
            coordinating = "SELECT count(*) = 4 FROM jobs WHERE status = 'coordinating'"
            await eventually_async(lambda: connection.fetchval(coordinating))
            await client.config_resetstat()
            began = await connection.fetchval("SELECT now()")
            await eventually_async(lambda: beats(began), what="two seconds have gone by")
            looks = (await client.info("commandstats"))["cmdstat_xreadgroup"]["calls"]
        assert looks < 20
    await all_ended(connection)


async def test_batches_whose_claim_broke_off_are_claimed_once_the_database_is_back(
    fleet, erp, connection, redis_url
) -> None:
    fleet.start(1, **SLOW_TIMERS)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
    async with database_connections(fleet.database_url) as (other,):
        pid = await other.fetchval("SELECT pg_backend_pid()")
        async with other.transaction():
            await other.execute("SELECT FROM pools WHERE provider = 'import' FOR NO KEY UPDATE")
            await announced(erp, connection, redis_url, max_concurrent=10)
            await eventually_async(lambda: connection.fetch(cut, pid), what="a claim waits, and its connection is cut")
    await all_ended(connection)
    assert fleet.workers[0].events("claim_delayed")


async def test_a_batch_with_an_unreadable_spec_fails_after_ten_lost_leases(fleet, erp, ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1]))  # of a spec that is no import's
    root = await connection.fetchval("SELECT identity_no FROM identities WHERE kind = 'import_root'")
    await connection.execute("UPDATE jobs SET identity_nos = ARRAY[$1::int]", root)
    for table in ("batches", "ready"):
        await connection.execute(f"UPDATE {table} SET identity_no = $1", root)
    await connection.execute("UPDATE batches SET lost_leases = 10 WHERE job_no = $1", job_no)
    (worker,) = fleet.start(1)
    worker.wait_for("spec_not_readable")
    await all_ended(connection)
    failed = await connection.fetchrow("SELECT status, error_code FROM jobs WHERE job_no = $1", job_no)
    assert tuple(failed) == ("failed", "wave_failed")
    assert await connection.fetchval("SELECT error_code FROM import_batches") == "worker_lost"
