"""Incident 22: a double click on retry ran twice, and a lock of 90 s only moved that. What has failed is retried once.

No press is remembered for a while: a press finds cells that have failed or it finds none, however late it comes.
"""

import asyncio

import httpx2

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

AT_ONCE = 20


async def test_many_clicks_are_one_run_whenever_they_come(fleet: Fleet, connection, start_api) -> None:
    (failing,) = fleet.start(ECHO_FAILURE_RATE=1)
    apis = [start_api(fleet.database_url, fleet.redis_url) for _ in range(2)]
    async with httpx2.AsyncClient(base_url=apis[0].url) as first, httpx2.AsyncClient(base_url=apis[1].url) as second:
        job = (await first.post("/jobs", json=job_body(questions=3, policy={"max_attempts": 1}))).json()["job"]
        await all_ended(connection)
        failing.stop()
        path = f"{job['links']['self']}/retry"
        clicks = await asyncio.gather(*(client.post(path) for client in (first, second) * (AT_ONCE // 2)))
        assert sorted(click.json()["retried"] for click in clicks) == [0] * (AT_ONCE - 1) + [3]
        fleet.start(ECHO_DELAY_SECONDS=0.3)

        async def is_running() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM batches WHERE status = 'running'"))

        await eventually_async(is_running, what="the retry runs")
        assert (await second.post(path)).json()["retried"] == 0
        await all_ended(connection)
        again = (await first.post(path)).json()
        assert (again["status"], again["retried"], again["untouched"]) == ("completed", 0, 3)
    assert await attempts(connection) == {("completed", 2): 3}
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'retried'") == 1
    await assert_audit(connection)
