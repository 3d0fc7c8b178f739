"""Incident 29: an empty answer was marked as failed. It is an answer, and says that it is empty."""

import httpx2

from db import results
from tests.support.jobs import job_body
from tests.support.outcomes import assert_audit, attempts, statuses
from tests.support.planned_batches import answered, plan_and_claim
from tests.support.workers import Fleet


async def test_an_empty_answer_completes_its_cell(fleet: Fleet, connection, start_api) -> None:
    ((batch,),) = await plan_and_claim(connection, [job_body(questions=2)], batch_cells=2)
    async with connection.transaction():
        await results.record(connection, [answered(batch, output="")], source="a test")
    assert await statuses(connection) == {"completed": 1}
    assert await attempts(connection) == {("completed", 1): 2}
    await assert_audit(connection)
    api = start_api(fleet.database_url, fleet.redis_url)
    job_id = await connection.fetchval("SELECT id FROM jobs")
    async with httpx2.AsyncClient(base_url=api.url) as client:
        items = (await client.get(f"/jobs/{job_id}/executions")).json()["items"]
    shown = [(item["status"], item["output"], item["output_empty"], item["error"]) for item in items]
    assert shown == [("completed", "", True, None)] * 2
