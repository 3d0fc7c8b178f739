"""Incident 18: 20 failed rows with neither question nor provider nor error. What fails before any cell ran is a job.

It has one error with code and text, and no row stands for a cell that nobody planned.
"""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from api.execution_files import COLUMNS
from db.engine import Connection
from tests.support.configurations import commit_file
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.workers import Fleet

CELLS = 20
BODY = job_body(models=2, questions=10)


async def a_spec_that_cannot_be_planned(connection: Connection) -> int:
    (job_no,) = await store_jobs(connection, [BODY])
    await connection.execute("UPDATE specs SET spec = '{}' WHERE job_no = $1", job_no)
    return job_no


async def a_wait_that_was_too_long(connection: Connection) -> int:
    (job_no,) = await store_jobs(connection, [{**BODY, "policy": {"queue_timeout_seconds": 60}}])
    hour_ago = "created_at = created_at - interval '1 h', queued_at = queued_at - interval '1 h'"
    await connection.execute(f"UPDATE jobs SET {hour_ago} WHERE job_no = $1", job_no)
    return job_no


@pytest.mark.parametrize(
    ("happen", "code", "text"),
    [
        (a_spec_that_cannot_be_planned, "unplannable_spec", "stored spec"),
        (a_wait_that_was_too_long, "queue_timeout", "60"),
    ],
)
async def test_a_failure_before_any_cell_ran_is_one_error(  # noqa: PLR0917
    fleet: Fleet, connection, start_api, happen: Callable[[Connection], Awaitable[int]], code: str, text: str
) -> None:
    config = fleet.folder / "breakwater.toml"
    config.write_text("[providers.hybrid]\ntype = 'echo'\n")
    commit_file(fleet.database_url, config)
    failing = await happen(connection)
    (sound,) = await store_jobs(connection, [job_body(questions=3)])
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, [failing, sound])
    await all_ended(connection)

    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", failing)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        job = (await client.get(f"/jobs/{job_id}")).json()
        assert (job["status"], job["error"]["code"]) == ("failed", code)
        assert text in job["error"]["detail"]
        assert job["progress"]["failed"] == job["progress"]["running"] == 0
        for part in ("executions", "waves"):
            assert (part, (await client.get(f"/jobs/{job_id}/{part}")).json()["items"]) == (part, [])
        file = await client.get(f"/jobs/{job_id}/executions", headers={"Accept": "text/csv"})
        assert file.text == ",".join(COLUMNS) + "\r\n"
        [event] = (await client.get(f"/jobs/{job_id}/events")).json()["items"]
        assert (event["type"], event["data"]["code"], event["data"]["detail"]) == ("finished", *job["error"].values())
        audit = (await client.get(f"/jobs/{job_id}/audit")).json()
        assert (audit["holds"], audit["planned"], audit["terminal"], audit["attempts"]) == (True, CELLS, 0, 0)
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE job_no = $1", failing) == 0
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", sound) == "completed"
    await assert_audit(connection)
