"""The loader: what a transaction that is repeated counts, it counts once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker import envelopes
from db.engine import create_engine
from db.import_reports import ReadRow
from runtime.metrics import IMPORT_BATCHES, IMPORT_ROWS
from tests.support.import_steps import WORKER_NO, ImportSteps, plan_of, read
from tests.support.outcomes import counter_total
from tests.support.waiting import eventually_async
from tests.support.worker_contexts import worker_context
from worker.context import Context
from worker.imports.loader import Loader


@pytest.fixture
async def context(database_url: str, redis_url: str) -> AsyncIterator[Context]:
    """The surroundings of a loader."""
    engine = create_engine(database_url, size=4, pinned_plans=True)
    broker = envelopes.connect(redis_url)
    yield worker_context(engine, redis=broker, worker_no=WORKER_NO)
    await broker.aclose()
    await engine.dispose()


async def test_rows_written_again_after_a_repeated_key_are_counted_once(context, connection) -> None:
    job_no = await ImportSteps(context.engine).coordinate(plan_of([3]))
    first, second, third = await ImportSteps(context.engine).claim()
    lenient, strict = read(*second), read(*third)
    lenient.records = [*lenient.records[:2], ReadRow("000000001", "{}", 5)]
    lenient.max_rejects = 1
    strict.records = [*strict.records[:2], ReadRow("000000002", "{}", 8)]
    loader = Loader(context, lambda _: None)
    for report in (read(*first), lenient, strict):
        loader.submit(report)
    running = asyncio.create_task(loader.run())
    query = "SELECT status FROM jobs WHERE job_no = $1 AND finished_at IS NOT NULL"
    assert await eventually_async(lambda: connection.fetchval(query, job_no)) == "failed"
    running.cancel()
    inserted, rejected = await connection.fetchrow("SELECT sum(rows_inserted), sum(rows_rejected) FROM import_batches")
    assert rejected >= 2  # of rows that share a key, the transaction decides which is the first
    assert await counter_total(connection, IMPORT_ROWS.name, result="inserted") == inserted
    assert await counter_total(connection, IMPORT_ROWS.name, result="rejected") == rejected
    assert await counter_total(connection, IMPORT_BATCHES.name, status="completed") == 2
    assert await counter_total(connection, IMPORT_BATCHES.name, status="failed") == 1
