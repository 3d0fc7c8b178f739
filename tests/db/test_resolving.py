"""Resolve: a person's finding ends an unknown cell; it is kept apart from the result of the call."""

import asyncio
from typing import Any

import pytest

from db.engine import Connection
from db.executions import read_execution
from db.tenants import DEFAULT_TENANT_NO
from domain.errors import ExecutionNotUnknown, NotFound
from tests.support.controls import WHO, Controls, end_unknown, events
from tests.support.job_seeds import Seeded, Seeds, completed, failed
from tests.support.outcomes import assert_audit, attempts


async def with_unknowns(seeds: Seeds, *, others: Any = completed, **body: Any) -> Seeded:
    """A job of four cells that has ended, two of them ambiguously."""
    job = await seeds.submit(questions=["One?", "Two?", "Three?", "Four?"], **body)
    await seeds.plan()
    first, second = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
    await seeds.record(others(second))
    await end_unknown(seeds, first)
    return job


async def job_row(connection: Connection) -> tuple[Any, ...]:
    return tuple(await connection.fetchrow("SELECT status, completed, failed, unknown FROM jobs"))


async def test_the_finding_of_a_person_becomes_the_result(seeds, controls, connection, engine) -> None:
    job = await with_unknowns(seeds)
    before = await connection.fetchrow("SELECT started_at, finished_at FROM executions WHERE question_no = 0")
    resolved = await controls.resolve(f"{job.job_no}-0-0-0", "completed", "It was four.", reason="found in their log")
    assert (resolved.job_status, resolved.pool) == ("partial", ("echo", "us-east"))
    cell, tries = await read_execution(engine, DEFAULT_TENANT_NO, f"{job.job_no}-0-0-0")
    assert (cell.status, cell.output, cell.attempts, cell.error_code) == ("completed", "It was four.", 1, None)
    assert (cell.started_at, cell.finished_at) == (before["started_at"], before["finished_at"])
    [ambiguous] = tries
    assert (ambiguous.status, ambiguous.error_code, ambiguous.error_retryable) == ("unknown", "timeout", False)
    *_, (kind, data) = await events(connection, job.job_no)
    assert (kind, data) == (
        "resolved",
        {
            "by": WHO,
            "reason": "found in their log",
            "execution_id": f"{job.job_no}-0-0-0",
            "status": "completed",
            "job_status": "partial",
        },
    )
    await assert_audit(connection)


async def test_a_failure_that_a_person_found_says_so(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds)
    await controls.resolve(f"{job.job_no}-0-0-0", "failed", reason="nothing in their log")
    await controls.resolve(f"{job.job_no}-0-0-1", "failed")
    cells = await connection.fetch(
        "SELECT output, error_code, error_detail, error_retryable FROM executions"
        " WHERE status = 'failed' ORDER BY question_no"
    )
    assert [tuple(cell) for cell in cells] == [
        (None, "resolved_failed", "nothing in their log", False),
        (None, "resolved_failed", "A person found that it failed.", False),
    ]
    await assert_audit(connection)


async def test_the_final_status_follows_from_the_cells_again(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds, policy={"min_success_rate": 0.75})
    ended_at = await connection.fetchval("SELECT finished_at FROM jobs")
    assert await job_row(connection) == ("failed", 2, 0, 2)
    await controls.resolve(f"{job.job_no}-0-0-0", "completed", "")
    assert await job_row(connection) == ("partial", 3, 0, 1)
    await controls.resolve(f"{job.job_no}-0-0-1", "completed", "four")
    assert await job_row(connection) == ("completed", 4, 0, 0)
    assert await connection.fetchval("SELECT finished_at FROM jobs") == ended_at
    await assert_audit(connection)


async def test_a_running_or_cancelled_job_is_unchanged(seeds, controls, connection) -> None:
    for is_cancelled in (False, True):
        job = await seeds.submit(questions=["One?", "Two?", "Three?", "Four?"])
        await seeds.plan()
        first, second = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
        await end_unknown(seeds, first)
        if is_cancelled:
            await controls.cancel(job.id)
        for question_no, status in enumerate(("completed", "failed")):
            resolved = await controls.resolve(
                f"{job.job_no}-0-0-{question_no}", status, "x" if not question_no else None
            )
            assert resolved.job_status == ("cancelled" if is_cancelled else "running")
        await seeds.record(completed(second))
        await assert_audit(connection)


async def test_a_cell_that_a_person_resolved_as_failed_can_be_retried(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds)
    await controls.resolve(f"{job.job_no}-0-0-0", "failed")
    assert (await controls.retry(job.id)).retried == 1
    await assert_audit(connection)
    [batch] = await seeds.claim()
    await seeds.record(failed(batch))
    assert await attempts(connection) == {("completed", 1): 2, ("failed", 2): 1, ("unknown", 1): 1}
    assert (await controls.retry(job.id, error_code="busy")).retried == 1
    await seeds.record(*(completed(batch) for batch in await seeds.claim()))
    tries = await connection.fetch("SELECT attempt_no, status FROM attempts ORDER BY attempt_no")
    assert [tuple(row) for row in tries] == [(1, "unknown"), (2, "failed")]
    await assert_audit(connection)


async def test_the_same_again_changes_nothing_and_another_word_is_refused(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds)
    cell = f"{job.job_no}-0-0-0"
    await controls.resolve(cell, "completed", "four", reason="first")
    before = await connection.fetch("SELECT * FROM jobs"), await connection.fetch("SELECT * FROM executions")
    again = await controls.resolve(cell, "completed", "four", reason="again")
    assert (again.pool, again.job_status) == (None, "partial")
    for status, output in (("completed", "five"), ("failed", None)):
        with pytest.raises(ExecutionNotUnknown):
            await controls.resolve(cell, status, output)
    assert (await connection.fetch("SELECT * FROM jobs"), await connection.fetch("SELECT * FROM executions")) == before


async def test_resolving_a_cell_that_is_not_unknown_is_refused(seeds: Seeds, controls: Controls, connection) -> None:
    job = await with_unknowns(seeds, others=failed)
    with pytest.raises(ExecutionNotUnknown) as refused:
        await controls.resolve(f"{job.job_no}-0-0-2", "failed")
    assert refused.value.members == {"execution_status": "failed"}
    for given in ("absent", f"{job.job_no}-0-0-9", "999-0-0-0"):
        with pytest.raises(NotFound):
            await controls.resolve(given, "failed")


async def test_a_mark_that_was_never_counted_as_a_try_becomes_one(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds)
    await connection.execute("ALTER TABLE executions DISABLE TRIGGER execution_transition_is_legal")
    await connection.execute(
        "UPDATE executions SET attempts = 0, provider_used = NULL, error_code = NULL, started_at = NULL"
        " WHERE question_no = 0"
    )
    await connection.execute("ALTER TABLE executions ENABLE TRIGGER execution_transition_is_legal")
    await controls.resolve(f"{job.job_no}-0-0-0", "failed")
    kept = await connection.fetchrow("SELECT attempt_no, status, provider_used, error_code FROM attempts")
    assert tuple(kept) == (1, "unknown", "echo", "outcome_unknown")
    await assert_audit(connection)


async def test_many_presses_at_once_are_one_resolution(seeds, controls, connection) -> None:
    job = await with_unknowns(seeds)
    presses = await asyncio.gather(
        *(controls.resolve(f"{job.job_no}-0-0-0", "completed", "four") for _ in range(20)),
        *(controls.resolve(f"{job.job_no}-0-0-0", "failed") for _ in range(20)),
        return_exceptions=True,
    )
    effects = [press for press in presses if not isinstance(press, Exception) and press.pool]
    assert len(effects) == 1
    assert sum(isinstance(press, ExecutionNotUnknown) for press in presses) == 20
    assert [kind for kind, _ in await events(connection, job.job_no)].count("resolved") == 1
    await assert_audit(connection)
