"""Recording: what a worker may write again, it writes once."""

import time

from db import results
from db.batches import ClaimedBatch
from db.results import BatchReport, CompletedCell
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_an_answer_whose_commit_was_not_confirmed_is_left_out(fleet: Fleet, connection) -> None:
    """Done here under the worker's own fence, as its own flush would have before its connection broke."""
    (worker,) = fleet.start(ECHO_DELAY_SECONDS=0.7)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=5)]))

    async def running():
        return await connection.fetchrow("SELECT * FROM batches WHERE status = 'running'")

    held = await eventually_async(running, what="the worker holds the batch")
    async with connection.transaction():
        recorded = await results.record(connection, [_first_answer(held)], source="a test")
    assert len(recorded.written) == 1
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 5}
    first = await connection.fetchval("SELECT output FROM executions WHERE question_no = 0")
    assert first == "the first answer"
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="execution") == 1
    assert worker.is_alive
    await assert_audit(connection)


def _first_answer(row) -> BatchReport:
    now_us = int(time.time() * 1_000_000)
    batch = ClaimedBatch(
        job_no=row["job_no"],
        batch_no=row["batch_no"],
        wave_no=1,
        next_batch_no=None,
        provider="echo",
        region="us-east",
        region_no=0,
        fence=row["fence"],
        holder=row["holder"],
        virtual_finish_time=0,
        waited_seconds=0,
        claimed_at=0,
        model_nos=[0],
        question_nos=[0],
        attempts=[0],
        forgiven=[0],
        key_nos=[0],
        marked=[False],
    )
    cell = CompletedCell(batch.job_no, 0, 0, 0, now_us, now_us, "echo", "us-east", "the first answer")
    return BatchReport(batch, completed=[cell])
