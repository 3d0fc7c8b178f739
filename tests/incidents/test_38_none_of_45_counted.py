"""Incident 38: 45 batches ran, none was counted, for their ids were rebuilt from parts. An end names the stored id."""

from dataclasses import replace

from db.engine import create_engine
from tests.support.import_steps import ImportSteps, plan_of, read


async def test_an_end_that_names_no_stored_batch_changes_nothing_and_is_reported(database_url, connection) -> None:
    engine = create_engine(database_url)
    ledger = ImportSteps(engine)
    job_no = await ledger.coordinate(plan_of([2]))
    (first, given), second = await ledger.claim()
    unknown = read(replace(first, batch_no=99), given)
    recorded = await ledger.record(unknown, read(first, given))
    assert [report.batch.batch_no for report in recorded.stale] == [99]
    assert await connection.fetchval("SELECT completed FROM jobs WHERE job_no = $1", job_no) == 1
    await ledger.record(read(*second))
    assert await connection.fetchval("SELECT completed FROM jobs WHERE job_no = $1", job_no) == 2
    await engine.dispose()
