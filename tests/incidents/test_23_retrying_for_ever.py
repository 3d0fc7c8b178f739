"""Incident 23: a retry was a background task of the web process, and a crash left its rows `retrying` for ever.

A retry is committed before it is answered, and runs like everything else: by claim and lease.
"""

import httpx2
import redis

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.workers import Fleet


async def test_a_retry_outlives_the_process_that_took_it_and_the_envelope_that_it_published(
    fleet: Fleet, connection, start_api
) -> None:
    (failing,) = fleet.start(ECHO_FAILURE_RATE=1)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        job = (await client.post("/jobs", json=job_body(questions=3, policy={"max_attempts": 1}))).json()["job"]
        await all_ended(connection)
        failing.stop()
        assert (await client.post(f"{job['links']['self']}/retry")).json()["retried"] == 3
    api.kill()
    with redis.Redis.from_url(fleet.redis_url) as server:
        server.flushall()
    fleet.start(RECONCILE_SECONDS=0.2)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 2): 3}
    await assert_audit(connection)
