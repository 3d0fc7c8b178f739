"""Incident 28: durations were negative. Created, queued, started and finished follow each other, whatever happens."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body_of, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_times_follow_each_other_through_retries_and_a_crash(fleet: Fleet, connection) -> None:
    fleet.settings = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}
    first, _ = fleet.start(2, ECHO_FAILURE_RATE=0.2)
    jobs = await store_jobs(connection, [job_body_of(cells) for cells in (1, 30, 400)] * 20)
    await publish_envelopes(fleet.redis_url, jobs)

    async def is_running() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'running'"))

    await eventually_async(is_running, what="load")
    first.kill()
    await all_ended(connection)
    backwards = """
    SELECT count(*)
    FROM jobs AS j
    JOIN batches AS b USING (job_no)
    JOIN executions AS e USING (job_no, batch_no)
    WHERE NOT (
        j.created_at <= j.queued_at AND j.queued_at <= j.started_at AND j.started_at <= j.finished_at
        AND j.queued_at <= b.queued_at AND b.queued_at <= e.started_at AND e.started_at <= e.finished_at
        AND e.finished_at <= j.finished_at
    )
    """
    assert await connection.fetchval(backwards) == 0
    await assert_audit(connection)
