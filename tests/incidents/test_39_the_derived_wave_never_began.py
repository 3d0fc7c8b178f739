"""Incident 39: two last batches ended together, neither saw the other, and the next wave never began."""

import asyncio

from db.engine import create_engine
from tests.support.import_steps import ImportSteps, plan_of, read


async def test_two_last_batches_that_end_together_open_the_next_wave_once_and_the_job_ends_last(
    database_url, connection
) -> None:
    engine = create_engine(database_url, size=8, pinned_plans=True)
    ledger = ImportSteps(engine)
    for _ in range(50):
        job_no = await ledger.coordinate(plan_of([4], [2]))
        await asyncio.gather(*(ledger.record(read(*claim)) for claim in await ledger.claim()))
        assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "running"
        second = await ledger.claim()
        assert [batch.wave_no for batch, _ in second] == [2, 2]
        await asyncio.gather(*(ledger.record(read(*claim)) for claim in second))
        job = await connection.fetchrow("SELECT status, planned, completed FROM jobs WHERE job_no = $1", job_no)
        assert tuple(job) == ("completed", 6, 6)
    await engine.dispose()
