"""Since when a call is out: shown under a lease that holds, for as long as it is out, and never in another's way."""

from typing import Any

import pytest

from db import batches, call_starts
from db.batches import ClaimedBatch
from db.call_starts import ShownCall
from db.engine import Connection, Engine, in_transaction
from db.executions import FIRST, Execution, ExecutionFilter, list_executions
from db.results import BatchReport
from db.tenants import DEFAULT_TENANT_NO
from domain.calls import Cell
from tests.support.job_seeds import Seeded, Seeds, completed, failed, retried
from tests.support.outcomes import assert_audit


async def claimed(seeds: Seeds) -> tuple[Seeded, ClaimedBatch]:
    """A job of one cell, and its batch in hand."""
    job = await seeds.submit()
    await seeds.plan()
    [batch] = await seeds.claim()
    return job, batch


def call(batch: ClaimedBatch, *, is_out: bool = True) -> ShownCall:
    started_us = int(batch.claimed_at * 1_000_000) + 10 if is_out else None
    return ShownCall(batch, Cell(batch.job_no, 0, 0, 0), started_us, batch.attempts[0])


async def show(engine: Engine, *calls: ShownCall) -> int:
    """Show these calls; return how many are."""
    return len(await in_transaction(engine, lambda c: call_starts.show_calls(c, calls)))


async def only(engine: Engine, job: Seeded) -> Execution:
    page = await list_executions(engine, DEFAULT_TENANT_NO, job.id, ExecutionFilter(), after=FIRST, limit=2)
    [cell] = page.facts
    return cell


@pytest.fixture
def out(connection: Connection) -> Any:
    """The columns of the cell's own row about its call."""

    async def look() -> tuple[Any, ...]:
        return tuple(await connection.fetchrow("SELECT started_at IS NOT NULL, provider_used FROM executions"))

    return look


async def test_a_call_that_is_out_is_shown_with_its_own_start(seeds, engine, connection) -> None:
    job, batch = await claimed(seeds)
    assert ((await only(engine, job)).started_at, (await only(engine, job)).provider_used) == (None, None)
    assert await show(engine, call(batch)) == 1
    cell = await only(engine, job)
    assert cell.status == "running"
    assert (round(cell.started_at.timestamp() * 1_000_000), cell.provider_used) == (call(batch).started_us, "echo")
    await seeds.record(completed(batch))
    await assert_audit(connection)


async def test_a_try_that_has_ended_is_shown_no_more(seeds, engine, out) -> None:
    _, batch = await claimed(seeds)
    await show(engine, call(batch))
    report = retried(batch)
    report.is_released = False
    await seeds.record(report)
    assert await out() == (False, None)
    assert await show(engine, call(batch)) == 0
    assert await out() == (False, None)


def given_up(batch: ClaimedBatch) -> BatchReport:
    """The end of every cell of a batch without a call."""
    report = failed(batch)
    report.ended = [cell._replace(started_us=None, provider_used=None, tries=0) for cell in report.ended]
    return report


@pytest.mark.parametrize("end", [completed, failed, given_up])
async def test_a_cell_that_has_ended_keeps_its_result(seeds, engine, connection, end) -> None:
    _, batch = await claimed(seeds)
    report = end(batch)
    report.is_released = False
    await seeds.record(report)
    before = await connection.fetchrow("SELECT * FROM executions")
    assert await show(engine, call(batch)) == 0
    assert await connection.fetchrow("SELECT * FROM executions") == before


async def test_a_worker_that_lost_the_lease_shows_nothing(seeds, engine, out) -> None:
    _, batch = await claimed(seeds)
    await in_transaction(engine, lambda c: batches.release_all(c, seeds.worker_no))
    assert await show(engine, call(batch)) == 0
    assert await out() == (False, None)


async def test_a_call_of_an_earlier_holder_isnt_shown_and_is_cleared(seeds, engine, out) -> None:
    job, batch = await claimed(seeds)
    await show(engine, call(batch))
    await in_transaction(engine, lambda c: batches.release_all(c, seeds.worker_no))
    waiting = await only(engine, job)
    assert (waiting.status, waiting.started_at, waiting.provider_used) == ("planned", None, None)
    [again] = await seeds.claim()
    assert await show(engine, call(again, is_out=False)) == 1
    assert await out() == (False, None)
    assert await show(engine, call(again, is_out=False)) == 0


async def test_a_batch_that_is_locked_is_left_for_the_next_time(seeds, engine, connection) -> None:
    _, batch = await claimed(seeds)
    async with connection.transaction():
        await connection.execute("SELECT FROM batches FOR NO KEY UPDATE")
        assert await show(engine, call(batch)) == 0
    assert await show(engine, call(batch)) == 1
