"""Coordination of imports under any trigger and any fault: one set of waves, and a complete record of triggers."""

import pytest

from db import triggers as db_triggers
from db.engine import Connection
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED
from tests.support.connections import broker_client, publish_envelopes
from tests.support.erp_source import assert_imported_once, table_held, two_tables_body
from tests.support.import_bodies import store_import
from tests.support.outcomes import all_ended, counter_total
from tests.support.waiting import eventually_async

DUPLICATES = DUPLICATES_PREVENTED.name
TRIGGERED = COORDINATION.name


async def beaten(connection: Connection, job_no: int) -> None:
    """Wait until the worker that coordinates an import has renewed its lease once more."""
    beat = "SELECT heartbeat_at FROM imports WHERE job_no = $1"
    before = await connection.fetchval(beat, job_no)

    async def look() -> bool:
        return await connection.fetchval(beat, job_no) != before

    await eventually_async(look, what="the lease is renewed")


async def fence(connection: Connection, job_no: int) -> int:
    return await connection.fetchval("SELECT coalesce(max(fence), 0) FROM imports WHERE job_no = $1", job_no)


async def ledger(connection: Connection, job_no: int) -> list[tuple[str, str | None]]:
    rows = await connection.fetch("SELECT source, outcome FROM triggers WHERE job_no = $1 ORDER BY trigger_no", job_no)
    return [tuple(row) for row in rows]


@pytest.fixture
async def job_no(erp, connection) -> int:
    """An import of two tables of 600 rows, queued."""
    await erp.tables(["customer", "line"], 600)
    return await store_import(connection, two_tables_body())


async def test_a_count_that_outlasts_the_lease_is_not_begun_again_by_any_trigger(
    fleet, connection, job_no, redis_url
) -> None:
    async with table_held(fleet.database_url, "customer"):
        fleet.start(2)
        await publish_envelopes(redis_url, [job_no])
        await eventually_async(lambda: fence(connection, job_no))
        for _ in range(15):  # three leases long
            await publish_envelopes(redis_url, [job_no], source="fallback")
            await beaten(connection, job_no)
        await publish_envelopes(redis_url, [job_no], source="retry")
        async with connection.transaction():
            tenant, job_id = await connection.fetchrow("SELECT tenant_no, id FROM jobs WHERE job_no = $1", job_no)
            triggered = await db_triggers.trigger_manually(connection, tenant, job_id, 1)
        assert triggered.is_open
        fleet.start(1)
    await all_ended(connection)
    await assert_imported_once(connection, job_no)
    found = await ledger(connection, job_no)
    assert found[0] == ("initial", "won")
    assert sorted(set(found[1:])) == [("fallback", "joined"), ("manual", "joined"), ("retry", "joined")]
    assert found.count(("fallback", "joined")) == 15
    assert await fence(connection, job_no) == 1
    assert await counter_total(connection, TRIGGERED, source="initial", outcome="won") == 1
    assert await counter_total(connection, TRIGGERED, source="fallback", outcome="joined") == 15
    assert await counter_total(connection, DUPLICATES, layer="coordination", reason="manual_joined") == 1


async def test_a_coordinator_that_is_paused_past_its_lock_and_lease_is_fenced_off(
    fleet, connection, job_no, redis_url
) -> None:
    (first,) = fleet.start(1)
    async with table_held(fleet.database_url, "customer"):
        await publish_envelopes(redis_url, [job_no])
        first.wait_for("coordination_started", fence=1)
        first.pause()
        (second,) = fleet.start(1)
        second.wait_for("coordination_started", fence=2, source="fallback")
    await all_ended(connection)
    first.go_on()
    first.wait_for("duplicate_prevented", layer="coordination", reason="stale_fence")
    await assert_imported_once(connection, job_no)
    found = await ledger(connection, job_no)
    assert found[0] == ("initial", "fenced")
    assert ("fallback", "won") in found
    assert await counter_total(connection, TRIGGERED, source="initial", outcome="fenced") == 1

    async def counted() -> bool:
        return await counter_total(connection, DUPLICATES, layer="coordination", reason="stale_fence") == 1

    await eventually_async(counted)


async def test_a_coordinator_that_is_killed_is_followed_by_another(fleet, connection, job_no, redis_url) -> None:
    (first,) = fleet.start(1)
    async with table_held(fleet.database_url, "customer"):
        await publish_envelopes(redis_url, [job_no])
        first.wait_for("coordination_started", fence=1)
        first.kill()
        (second,) = fleet.start(1)
        second.wait_for("coordination_started", fence=2, source="fallback")
    await all_ended(connection)
    await assert_imported_once(connection, job_no)
    assert (await ledger(connection, job_no))[0] == ("initial", "fenced")


async def test_a_coordinator_that_stops_in_order_gives_the_import_back_at_once(
    fleet, connection, job_no, redis_url
) -> None:
    (first,) = fleet.start(1, LEASE_SECONDS=60, HEARTBEAT_SECONDS=5)
    async with table_held(fleet.database_url, "customer"):
        await publish_envelopes(redis_url, [job_no])
        first.wait_for("coordination_started", fence=1)
        first.stop()
        (second,) = fleet.start(1)
        second.wait_for("coordination_started", fence=2)
    await all_ended(connection)
    await assert_imported_once(connection, job_no)


async def test_without_redis_locks_it_is_still_coordinated_once(fleet, connection, job_no, redis_url) -> None:
    async with broker_client(redis_url) as client, table_held(fleet.database_url, "customer"):
        fleet.start(3)
        await publish_envelopes(redis_url, [job_no])
        await eventually_async(lambda: fence(connection, job_no))
        for _ in range(10):
            await client.flushall()
            await publish_envelopes(redis_url, [job_no], source="fallback")
            await beaten(connection, job_no)
        assert await fence(connection, job_no) == 1
    await all_ended(connection)
    await assert_imported_once(connection, job_no)


async def test_a_count_that_takes_too_long_fails_the_job_with_the_reason(fleet, erp, connection, redis_url) -> None:
    await erp.tables(["customer", "line"], 10)
    given = two_tables_body()
    given["policy"] = {"count_timeout_seconds": 1}
    job_no = await store_import(connection, given)
    async with table_held(fleet.database_url, "customer"):
        fleet.start(1)
        await publish_envelopes(redis_url, [job_no])
        await all_ended(connection)
    job = await connection.fetchrow("SELECT status, error_code, error_detail FROM jobs WHERE job_no = $1", job_no)
    assert (job["status"], job["error_code"]) == ("failed", "count_timeout")
    assert "customer" in job["error_detail"]


async def test_an_import_whose_envelope_was_lost_is_coordinated(fleet, connection, job_no) -> None:
    fleet.start(1)
    await all_ended(connection)
    await assert_imported_once(connection, job_no)


async def test_batches_survive_kills_while_they_run(fleet, erp, connection, redis_url) -> None:
    await erp.tables(["customer", "line"], 20_000)
    given = two_tables_body()
    job_no = await store_import(connection, given)
    fleet.start(2)
    await publish_envelopes(redis_url, [job_no])

    async def done() -> int:
        return await connection.fetchval("SELECT completed FROM jobs WHERE job_no = $1", job_no)

    for goal in (20, 120, 250):
        await eventually_async(lambda goal=goal: _past(done, goal), seconds=60)
        fleet.workers[-1].kill()
        fleet.start(1)
    await all_ended(connection, seconds=90)
    assert await done() == 400
    rows = await connection.fetch("SELECT record_set_no, count(*) FROM imported_records GROUP BY 1")
    assert [row["count"] for row in rows] == [20_000, 20_000]
    kept = await connection.fetchrow(
        """
        SELECT sum(rows_read) AS read, sum(rows_inserted) AS inserted, sum(rows_unchanged) AS unchanged
        FROM import_batches WHERE job_no = $1
        """,
        job_no,
    )
    assert tuple(kept) == (40_000, 40_000, 0)


async def _past(done, goal: int) -> bool:
    return await done() >= goal
