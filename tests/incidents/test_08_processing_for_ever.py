"""Incident 8: jobs stayed `processing` for ever after a crash. A lease runs out, and another worker goes on."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_batches_of_a_dead_worker_are_taken_by_another(fleet: Fleet, connection) -> None:
    quick = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}
    (first,) = fleet.start(ECHO_DELAY_SECONDS=30, **quick)
    (second,) = fleet.start(**quick)
    second.pause()
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=3)]))

    async def is_held() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM batches WHERE status = 'running'"))

    await eventually_async(is_held, what="the first worker holds the job")
    first.kill()
    second.go_on()
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 3}
    assert await counter_total(connection, "breakwater_leases_lost") == 1
    await assert_audit(connection)
