"""A job finishes once: its last batch ends with its last cell, and the database refuses every second end."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from db import results, retrying
from db.controls import Actor
from db.engine import in_transaction
from db.kinds import RetryFilter
from db.results import BatchReport
from db.tenants import DEFAULT_TENANT_NO
from tests.support.controls import events
from tests.support.job_seeds import failed
from tests.support.jobs import job_body
from tests.support.outcomes import assert_audit
from tests.support.planned_batches import answered, plan_and_claim

ENDED = """
SELECT j.status, j.finished_at, count(e.event_no) FILTER (WHERE e.type = 'finished') AS times, max(e.event_no) AS last
FROM jobs AS j JOIN events AS e USING (job_no) GROUP BY j.job_no
"""


async def record(engine, *reports: BatchReport):
    return await in_transaction(engine, lambda c: results.record(c, reports, source="a test"))


def without_release(report: BatchReport) -> BatchReport:
    """The same results from a worker whose batch still has permits: the release is reported apart, later."""
    return replace(report, is_released=False)


async def test_a_job_whose_last_answers_come_before_their_batchs_release_finishes_once(engine, connection) -> None:
    [[batch]] = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    await record(engine, without_release(answered(batch)))
    first = await connection.fetchrow(ENDED)
    assert (first["status"], first["times"]) == ("completed", 1)
    late = await record(engine, BatchReport(batch, is_released=True))
    assert (late.written, len(late.stale)) == ([], 1)
    assert await connection.fetchrow(ENDED) == first
    await assert_audit(connection)


async def test_no_job_is_shown_completed_while_a_batch_of_it_runs(engine, connection) -> None:
    [[batch]] = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    await record(engine, without_release(answered(batch)))
    row = await connection.fetchrow(
        "SELECT j.status, b.status AS batch, b.holder, b.slots, w.status AS wave, w.open_batches"
        " FROM jobs AS j JOIN batches AS b USING (job_no) JOIN waves AS w USING (job_no)"
    )
    assert tuple(row) == ("completed", "completed", None, 0, "completed", 0)


async def test_a_batch_goes_on_running_while_one_of_its_cells_is_open(engine, connection) -> None:
    [[batch]] = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    every = answered(batch)
    await record(engine, replace(every, is_released=False, completed=every.completed[:2]))
    assert await connection.fetchval("SELECT status FROM batches") == "running"
    assert await connection.fetchval("SELECT finished_at FROM jobs") is None
    await record(engine, replace(every, completed=every.completed[2:]))
    assert await connection.fetchval("SELECT status FROM jobs") == "completed"
    await assert_audit(connection)


async def test_last_answers_that_race_with_their_batchs_release_finish_each_job_once(engine, connection) -> None:
    jobs = await plan_and_claim(connection, [job_body(questions=2)] * 200, batch_cells=2)
    for [batch] in jobs:
        every = answered(batch)
        parts = [replace(every, is_released=False, completed=[cell]) for cell in every.completed]
        await asyncio.gather(*(record(engine, report) for report in (*parts, BatchReport(batch))))
        await record(engine, BatchReport(batch, is_released=True))
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'finished'") == 200
    await assert_audit(connection)


async def test_the_database_refuses_to_move_when_a_job_ended(engine, connection) -> None:
    [[batch]] = await plan_and_claim(connection, [job_body()], batch_cells=1)
    await record(engine, answered(batch))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute("UPDATE jobs SET finished_at = finished_at + interval '1 ms'")
    assert refused.value.constraint_name == "job_finishes_once"


async def test_the_database_refuses_a_second_finished_event(engine, connection) -> None:
    [[batch]] = await plan_and_claim(connection, [job_body()], batch_cells=1)
    await record(engine, answered(batch))
    again = (
        "INSERT INTO events (job_no, event_no, type, source, data)"
        " SELECT job_no, last_event_no + 1, $1, 'a test', '{}' FROM jobs"
    )
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(again, "finished")
    assert refused.value.constraint_name == "job_finish_is_told_once"
    await connection.execute(again, "resolved")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(again.replace("+ 1", "+ 2"), "finished")


async def test_a_job_that_an_older_worker_ended_early_stays_ended_when_its_batch_does(engine, connection) -> None:
    """Before this rule a job could be completed while its batch ran; such a batch is still there after an upgrade."""
    [[batch]] = await plan_and_claim(connection, [job_body(questions=2)], batch_cells=2)
    await record(engine, without_release(answered(batch)))
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "UPDATE batches SET status = 'running', finished_at = NULL, holder = $1, lease_until = now() + interval '1 m'",
        batch.holder,
    )
    await connection.execute("UPDATE waves SET status = 'running', finished_at = NULL, open_batches = 1")
    await connection.execute("SET session_replication_role = origin")
    ended = await connection.fetchrow(ENDED)
    await record(engine, BatchReport(batch, is_released=True))
    assert await connection.fetchrow(ENDED) == ended
    assert await connection.fetchval("SELECT status FROM batches") == "completed"


async def test_a_retried_job_finishes_once_more(seeds, controls, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    for _ in range(3):
        await seeds.record(*(failed(batch) for batch in await seeds.claim()))
        await in_transaction(
            seeds.engine,
            lambda c: retrying.retry_job(c, DEFAULT_TENANT_NO, job.id, RetryFilter(), Actor("a test", None, 1)),
        )
    await seeds.run_all()
    kinds = [kind for kind, _ in await events(connection, job.job_no) if kind in {"finished", "retried"}]
    assert kinds == ["finished", "retried"] * 3 + ["finished"]
    await assert_audit(connection)
