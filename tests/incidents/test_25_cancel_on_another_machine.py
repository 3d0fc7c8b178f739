"""Incident 25: cancel ended nothing: what ran was known to one machine's memory only, and retries ran on.

A cancel ends rows in PostgreSQL, through whichever API it comes, and a worker gives up what it finds ended.
"""

import httpx2

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit, attempts, statuses
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

BOUND_SECONDS = 5


async def test_a_cancel_keeps_waiting_work_from_beginning_and_gives_up_running_work(
    fleet: Fleet, connection, start_api
) -> None:
    (worker,) = fleet.start(ECHO_DELAY_SECONDS=60, WORKER_CONCURRENCY=2)
    here, there = (start_api(fleet.database_url, fleet.redis_url) for _ in range(2))
    async with httpx2.AsyncClient(base_url=here.url) as client, httpx2.AsyncClient(base_url=there.url) as other:
        job = (await client.post("/jobs", json=job_body(questions=6))).json()["job"]

        async def is_running() -> bool:
            return (await client.get(job["links"]["self"])).json()["progress"]["running"] > 0

        await eventually_async(is_running, what="calls are in flight")
        cancelled = await other.post(f"{job['links']['self']}/cancel")
        assert (cancelled.status_code, cancelled.json()["cancelled"]) == (202, 6)
        progress = (await client.get(job["links"]["self"])).json()["progress"]
        assert (progress["cancelled"], progress["running"], progress["pending"]) == (6, 0, 0)
        worker.wait_for("lease_gone", seconds=BOUND_SECONDS)
        assert (await client.post(f"{job['links']['self']}/cancel")).json()["cancelled"] == 0
    worker.stop(seconds=BOUND_SECONDS)
    assert await attempts(connection) == {("cancelled", 0): 6}
    await assert_audit(connection)


async def test_a_cell_that_waits_for_its_next_try_shows_no_call(fleet: Fleet, connection, start_api) -> None:
    fleet.start(ECHO_FAILURE_RATE=1)
    here, there = (start_api(fleet.database_url, fleet.redis_url) for _ in range(2))
    async with httpx2.AsyncClient(base_url=here.url) as client, httpx2.AsyncClient(base_url=there.url) as other:
        doomed = (await client.post("/jobs", json=job_body(questions=6, policy={"max_attempts": 100}))).json()["job"]

        async def is_retried() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM attempts WHERE attempt_no > 1"))

        await eventually_async(is_retried, what="cells are tried again")
        assert (await other.post(f"{doomed['links']['self']}/cancel")).json()["cancelled"] == 6
        before = await attempts(connection)
        later = job_body(models=2, questions=2, policy={"max_attempts": 3})
        await client.post("/jobs", json=later)
        await all_ended(connection)
    after = await attempts(connection)
    assert {key: after[key] for key in before} == before
    assert {status for status, _ in before} == {"cancelled"}
    assert await statuses(connection) == {"cancelled": 1, "failed": 1}
    await assert_audit(connection)
