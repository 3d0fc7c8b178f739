"""Each series moves when its event happens, in real processes, and agrees with the rows in the database."""

from typing import Any

from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED, JOBS_SUBMITTED
from tests.support.metrics import SHORT_LEASES, Series, has_ended, scrape
from tests.support.service import Client, StartProcess, api_client, unique
from tests.support.waiting import eventually_async

ROWS = {
    "breakwater_jobs_submitted_total": """
        SELECT coalesce(kind, 'unknown'), outcome, count(*) FROM submissions GROUP BY kind, outcome
    """,
    "breakwater_executions_total": """
        SELECT e.status, b.provider, b.region, count(*)
        FROM executions AS e
        JOIN batches AS b USING (job_no, batch_no)
        WHERE e.finished_at IS NOT NULL
        GROUP BY e.status, b.provider, b.region
    """,
    "breakwater_coordination_total": """
        SELECT source, outcome, count(*) FROM triggers WHERE outcome IS NOT NULL GROUP BY source, outcome
    """,
    "breakwater_retries_total": "SELECT error_code, count(*) FROM attempts GROUP BY error_code",
}


async def recount(client: Client, name: str) -> Series:
    rows = await client.database.fetch(ROWS[name])
    return {"/".join(str(part) for part in tuple(row)[:-1]): row[-1] for row in rows}


async def test_series_agree_with_the_rows(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess
) -> None:
    api = start_api(database_url, redis_url, **SHORT_LEASES)
    start_worker(database_url, redis_url, **SHORT_LEASES, echo_failure_rate=0.4)
    async with api_client(api, database_url) as client:
        body = unique(models=["a", "b"], questions=[f"Question {number}?" for number in range(20)])
        job_id = (await client.post(body)).json()["job"]["id"]
        assert (await client.post(body)).json()["outcome"] == "joined"
        assert (await client.post(unique(regions=["mars"]))).status_code == 422
        await eventually_async(lambda: has_ended(client, job_id), seconds=60)
        await client.http.post(f"/jobs/{job_id}/coordinate")
        samples = await scrape(client.http)
        assert {name: samples[name] for name in ROWS} == {name: await recount(client, name) for name in ROWS}
        assert samples["breakwater_executions_total"].keys() >= {"completed/echo/us-east"}
        assert samples["breakwater_retries_total"]["echo_failure"] > 0
        prevented = samples["breakwater_duplicates_prevented_total"]
        for series in (JOBS_SUBMITTED, DUPLICATES_PREVENTED, COORDINATION):
            assert samples[f"{series.name}_total"].keys() <= {"/".join(values) for values in series.zeros}
        assert (prevented["submission/same_spec_active"], prevented["coordination/manual_joined"]) == (1, 1)
        tries = await client.database.fetchval("SELECT sum(attempts) FROM executions")

        async def reported() -> bool:
            measured = await scrape(client.http)
            counts = [
                measured[f"breakwater_{name}_count"][""]
                for name in ("execution_duration_seconds", "coordination_seconds", "queue_wait_seconds")
            ]
            return counts[0] == tries and min(counts) > 0

        await eventually_async(reported)


ENDS = """
    SELECT ends.status, ends.provider, ends.region, sum(ends.cells)
    FROM (
        SELECT e.status, b.provider, b.region, 1 AS cells
        FROM executions AS e
        JOIN batches AS b USING (job_no, batch_no)
        WHERE e.finished_at IS NOT NULL
        UNION ALL
        SELECT 'failed', b.provider, b.region, (r ->> 'cells')::int
        FROM events AS v
        CROSS JOIN LATERAL json_array_elements(CASE WHEN v.type = 'retried' THEN v.data -> 'batches' END) AS r
        JOIN batches AS b ON b.job_no = v.job_no AND b.batch_no = (r ->> 'batch_id')::int
    ) AS ends
    GROUP BY ends.status, ends.provider, ends.region
"""
"""Every end that a cell ever had: a counter only rises, so one that a person took back stays counted."""


async def test_series_count_the_actions_of_people(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess
) -> None:
    api = start_api(database_url, redis_url, **SHORT_LEASES)
    failing = start_worker(database_url, redis_url, **SHORT_LEASES, echo_failure_rate=1)
    async with api_client(api, database_url) as client:
        body = unique(questions=["One?", "Two?", "Three?"], policy={"max_attempts": 1})
        job_id = (await client.post(body)).json()["job"]["id"]
        await eventually_async(lambda: has_ended(client, job_id), seconds=30)
        failing.stop()
        waiting_id = (await client.post(unique())).json()["job"]["id"]
        await client.http.post(f"/jobs/{waiting_id}/coordinate")
        assert (await client.http.post(f"/jobs/{waiting_id}/cancel")).status_code == 202
        assert (await client.http.post(f"/jobs/{job_id}/retry")).json()["retried"] == 3
        start_worker(database_url, redis_url, **SHORT_LEASES)
        await eventually_async(lambda: has_ended(client, job_id), seconds=30)
        slow_id = (await client.post(unique())).json()["job"]["id"]
        await client.http.post(f"/jobs/{slow_id}/cancel")
        await eventually_async(lambda: has_ended(client, slow_id), seconds=30)
        samples = await scrape(client.http)
        rows = await client.database.fetch(ENDS)
        ends = {"/".join(str(part) for part in tuple(row)[:-1]): row[-1] for row in rows}
        assert samples["breakwater_executions_total"] == ends
        assert (ends["failed/echo/us-east"], ends["completed/echo/us-east"] >= 3) == (3, True)
        assert samples["breakwater_retries_total"] == {"user": 3}
        coordination = await recount(client, "breakwater_coordination_total")
        assert samples["breakwater_coordination_total"] == coordination
        assert (coordination["retry/joined"], coordination["manual/failed"]) == (1, 1)


async def test_a_killed_workers_lease_is_counted_once_it_is_taken_over(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess
) -> None:
    api = start_api(database_url, redis_url, **SHORT_LEASES)
    doomed = start_worker(database_url, redis_url, **SHORT_LEASES, echo_delay_seconds=30)
    async with api_client(api, database_url) as client:
        job_id = (await client.post(unique())).json()["job"]["id"]

        async def is_running() -> bool:
            job: Any = (await client.http.get(f"/jobs/{job_id}")).json()
            return bool(job["progress"]["running"])

        await eventually_async(is_running, seconds=30)
        doomed.kill()
        start_worker(database_url, redis_url, **SHORT_LEASES)
        await eventually_async(lambda: has_ended(client, job_id), seconds=30)
        samples = await scrape(client.http)
        assert samples["breakwater_leases_lost_total"] == {"": 1}
        assert samples["breakwater_reconciled_total"]["lease_expired"] >= 1
        assert (await client.http.get(f"/jobs/{job_id}/audit")).json()["holds"]
