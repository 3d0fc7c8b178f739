"""Incident 21: a retry of `question_index: 0` was refused as missing. A retry names an execution by its id."""

import httpx2

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.workers import Fleet


async def test_the_first_of_everything_is_retried(fleet: Fleet, connection, start_api) -> None:
    (failing,) = fleet.start(ECHO_FAILURE_RATE=1)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        job = (await client.post("/jobs", json=job_body(models=2, questions=2, policy={"max_attempts": 1}))).json()[
            "job"
        ]
        await all_ended(connection)
        failing.stop()
        first = (await client.get(job["links"]["executions"])).json()["items"][0]
        retried = await client.post(f"/executions/{first['id']}/retry")
        assert (retried.status_code, retried.json()["retried"]) == (200, 1)
        fleet.start()
        await all_ended(connection)
        found = (await client.get(f"/executions/{first['id']}")).json()
    assert (found["status"], found["question_id"], found["attempts"]) == ("completed", first["question_id"], 2)
    assert await attempts(connection) == {("completed", 2): 1, ("failed", 1): 3}
    await assert_audit(connection)
