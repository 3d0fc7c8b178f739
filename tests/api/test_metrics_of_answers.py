"""Answers of echo, cut ones, and those of an unconfirmed region are counted as the rows in the database say."""

from pathlib import Path
from typing import Any

from tests.support.cut_answers import BY_QUESTION, MODELS
from tests.support.metrics import SHORT_LEASES, has_ended, scrape
from tests.support.service import StartProcess, api_client, unique
from tests.support.waiting import eventually_async

COUNTED = {
    "breakwater_executions_simulated_total": "e.status = 'completed' AND e.provider_used = 'echo'",
    "breakwater_executions_incomplete_total": "e.is_complete IS FALSE",
    "breakwater_executions_unconfirmed_region_total": "e.status = 'completed' AND e.region_served IS NULL",
}
ROWS = """
    SELECT b.provider || '/' || b.region AS pool, count(*) AS cells
    FROM executions AS e
    JOIN batches AS b USING (job_no, batch_no)
    WHERE {}
    GROUP BY b.provider, b.region
"""


async def test_answers_to_look_at_twice_are_counted(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess, cut_answers_config: Path
) -> None:
    api = start_api(database_url, redis_url, **SHORT_LEASES, config=cut_answers_config)
    start_worker(database_url, redis_url, **SHORT_LEASES, config=cut_answers_config)
    async with api_client(api, database_url) as client:
        job_ids = []
        for policy in ({"incomplete": "keep"}, {"incomplete": "fail"}):
            body = unique(models=MODELS, questions=list(BY_QUESTION), policy=policy)
            job_ids.append((await client.post(body)).json()["job"]["id"])

        async def all_ended() -> bool:
            return all([await has_ended(client, job_id) for job_id in job_ids])

        await eventually_async(all_ended, seconds=30)
        samples = await scrape(client.http)
        found = {name: samples[name] for name in COUNTED}
        counted: dict[str, Any] = {}
        for name, condition in COUNTED.items():
            rows = await client.database.fetch(ROWS.format(condition))
            counted[name] = {row["pool"]: row["cells"] for row in rows}
        assert found == counted
        assert counted == {
            "breakwater_executions_simulated_total": {"stand-in/us-east": 8},
            "breakwater_executions_incomplete_total": {"chat/us-east": 4},
            "breakwater_executions_unconfirmed_region_total": {"chat/us-east": 3},
        }
