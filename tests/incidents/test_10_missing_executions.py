"""Incident 10: a job stayed `queued` for ever with 11 of its 18 rows. Cells without an end are closed with why."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, statuses
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}


async def test_cells_whose_workers_die_again_and_again_fail_with_a_reason(fleet: Fleet, connection) -> None:
    (worker,) = fleet.start(ECHO_DELAY_SECONDS=30, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=2, regions=3, questions=3)]))

    async def batches_held() -> bool:
        return await connection.fetchval("SELECT count(*) FROM batches WHERE status = 'running'") == 3

    await eventually_async(batches_held, what="the worker holds the job")
    await connection.execute("UPDATE batches SET lost_leases = 9 WHERE batch_no = 2")
    worker.kill()
    fleet.start(**QUICK)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 12, ("failed", 0): 6}
    reasons = await connection.fetch("SELECT DISTINCT error_code, error_detail FROM executions WHERE status = 'failed'")
    assert [row["error_code"] for row in reasons] == ["worker_lost"]
    assert await statuses(connection) == {"failed": 1}
    await assert_audit(connection)
