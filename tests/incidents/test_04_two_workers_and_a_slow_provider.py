"""Incident 4: ten rows for nine cells, minutes apart: two workers had looked before either had written."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.workers import Fleet


async def test_two_workers_ask_a_slow_provider_once_for_each_cell(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=1)
    (job_no,) = await store_jobs(connection, [job_body(models=3, questions=3)])
    await publish_envelopes(fleet.redis_url, [job_no] * 6)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 9}
    assert await counter_total(connection, "breakwater_executions") == 9
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="fence") == 0
    await assert_audit(connection)
