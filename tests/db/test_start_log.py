"""Starts of calls are logged only under a lease that holds, also where a claim comes at that very moment."""

import asyncio

import pytest

from db.batches import ClaimedBatch
from db.call_starts import mark_started
from db.engine import Connection, create_engine, in_transaction
from domain.calls import Cell
from tests.support.connections import database_connections
from tests.support.jobs import job_body
from tests.support.planned_batches import plan_and_claim
from tests.support.waiting import eventually_async

STATUSES = "SELECT array_agg(status ORDER BY question_no) FROM executions"


async def claimed(connection: Connection) -> ClaimedBatch:
    ((batch,),) = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    return batch


def cells(batch: ClaimedBatch, *question_nos: int) -> list[tuple[ClaimedBatch, Cell]]:
    return [(batch, Cell(batch.job_no, batch.region_no, 0, question_no)) for question_no in question_nos]


async def test_cells_under_a_lease_that_holds_are_marked(connection) -> None:
    batch = await claimed(connection)
    asked = cells(batch, 0, 2)
    assert await mark_started(connection, asked) == {cell for _, cell in asked}
    assert await connection.fetchval(STATUSES) == ["running", "planned", "running"]


async def test_a_mark_whose_commit_was_not_confirmed_may_be_set_again(connection) -> None:
    batch = await claimed(connection)
    await mark_started(connection, cells(batch, 1))
    assert len(await mark_started(connection, cells(batch, 1))) == 1


@pytest.mark.parametrize("change", ["fence = fence + 1", "holder = holder + 1"])
async def test_nothing_is_marked_under_a_lease_that_is_gone(connection, change: str) -> None:
    batch = await claimed(connection)
    await connection.execute(f"UPDATE batches SET {change}")
    assert await mark_started(connection, cells(batch, 0, 1, 2)) == set()
    assert await connection.fetchval(STATUSES) == ["planned"] * 3


async def test_a_cell_that_has_ended_is_not_marked(connection) -> None:
    batch = await claimed(connection)
    await connection.execute("UPDATE executions SET status = 'cancelled', finished_at = now() WHERE question_no = 0")
    assert len(await mark_started(connection, cells(batch, 0, 1))) == 1


async def test_a_mark_that_races_with_a_claim_waits_for_it_and_then_marks_nothing(connection, database_url) -> None:
    batch = await claimed(connection)
    engine = create_engine(database_url, pinned_plans=True)
    async with database_connections(database_url) as (claimer,):
        claim = claimer.transaction()
        await claim.start()
        await claimer.execute("UPDATE batches SET fence = fence + 1, holder = holder + 1")
        late = asyncio.create_task(in_transaction(engine, lambda c: mark_started(c, cells(batch, 0))))

        async def waits() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually_async(waits, what="the mark waits for the claim")
        await claim.commit()
    assert await late == set()
    assert await connection.fetchval(STATUSES) == ["planned"] * 3
    await engine.dispose()
