"""Incident 9: a watchdog failed healthy jobs that took longer than its 15 minutes. Ours looks for signs of life."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.workers import Fleet


async def test_a_call_of_five_leases_is_left_alone_while_its_worker_lives(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=3, LEASE_SECONDS=0.6, HEARTBEAT_SECONDS=0.1, RECONCILE_SECONDS=0.2)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=3)]))
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 3}
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    await assert_audit(connection)
