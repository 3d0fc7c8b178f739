"""Actions that wait for a job's lock leave connections to everybody else."""

import asyncio
import time

import asyncpg

from db.controls import LOCK_SPACE
from tests.support.service import Client, unique
from tests.support.waiting import eventually_async

WAITING = 12
"""More than the API has connections."""
PROMPT_SECONDS = 0.9
WAIT_FOR_LOCK = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def test_jobs_are_listed_and_accepted_while_many_actions_wait_for_a_job(
    client: Client, shared_database_url: str
) -> None:
    job_id = (await client.post(unique())).json()["job"]["id"]
    holder = await asyncpg.connect(shared_database_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(
        "SELECT pg_advisory_xact_lock($1, hashint8(job_no)) FROM jobs WHERE id = $2", LOCK_SPACE, job_id
    )
    await holder.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job_id)
    cancels = [asyncio.create_task(client.http.post(f"/jobs/{job_id}/cancel")) for _ in range(WAITING)]
    triggers = [asyncio.create_task(client.http.post(f"/jobs/{job_id}/coordinate")) for _ in range(WAITING)]

    async def some_wait() -> bool:
        return await client.database.fetchval(WAIT_FOR_LOCK) >= 6

    try:
        await eventually_async(some_wait, what="the actions wait")
        for _ in range(3):
            started = time.monotonic()
            assert (await client.http.get("/jobs")).status_code == 200
            assert (await client.post(unique())).status_code == 202
            assert time.monotonic() - started < PROMPT_SECONDS
    finally:
        await transaction.rollback()
        await holder.close()
    answers = await asyncio.gather(*cancels, *triggers)
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert [answer.status_code for answer in answers[:WAITING]].count(202) == 1
