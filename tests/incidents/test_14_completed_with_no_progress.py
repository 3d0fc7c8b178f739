"""Incident 14: "Completed!" and 0 % progress, from two sets of tables. A job shows the sum of its executions."""

import httpx2

from tests.support.jobs import job_body
from tests.support.outcomes import all_ended
from tests.support.workers import Fleet

COUNTED = ("completed", "failed", "cancelled", "unknown")


async def test_progress_is_the_sum_of_the_executions(fleet: Fleet, connection, start_api) -> None:
    fleet.start(ECHO_FAILURE_RATE=0.5)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        job = (await client.post("/jobs", json=job_body(models=4, questions=20, policy={"max_attempts": 1}))).json()[
            "job"
        ]
        await all_ended(connection)
        progress = (await client.get(job["links"]["self"])).json()["progress"]
        found = {
            status: len(
                (await client.get(job["links"]["executions"], params={"status": status, "limit": 200})).json()["items"]
            )
            for status in COUNTED
        }
    assert {status: progress[status] for status in COUNTED} == found
    assert found["completed"] > 0
    assert found["failed"] > 0
    assert progress["planned"] == sum(found.values()) == 80
    assert (progress["pending"], progress["running"]) == (0, 0)
