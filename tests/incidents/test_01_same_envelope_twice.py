"""Incident 1: four executions instead of two, in the same second, because one job was taken off the queue twice."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, stream_is_empty
from tests.support.workers import Fleet


async def test_the_same_envelope_at_once_and_later_runs_each_cell_once(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=0.1)
    (job_no,) = await store_jobs(connection, [job_body(models=2)])
    await publish_envelopes(fleet.redis_url, [job_no, job_no])
    await all_ended(connection)
    await publish_envelopes(fleet.redis_url, [job_no, job_no])
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("completed", 1): 2}
    assert await counter_total(connection, "breakwater_executions") == 2
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="delivery") == 3
    await assert_audit(connection)
