"""Incident 3: of 72 planned cells 28 ran twice and 5 never, because the job came again during its fan-out."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_a_job_that_is_redelivered_after_a_kill_has_each_of_its_72_cells_once(fleet: Fleet, connection) -> None:
    fleet.settings = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}
    (first,) = fleet.start(ECHO_DELAY_SECONDS=0.05, WORKER_CONCURRENCY=5)
    (job_no,) = await store_jobs(connection, [job_body(models=3, regions=3, questions=8)])
    await publish_envelopes(fleet.redis_url, [job_no])

    async def some_ended() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM executions WHERE finished_at IS NOT NULL"))

    await eventually_async(some_ended, what="the fan-out is under way")
    await publish_envelopes(fleet.redis_url, [job_no])
    first.kill()
    await publish_envelopes(fleet.redis_url, [job_no])
    fleet.start(2)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 72}
    await assert_audit(connection)
