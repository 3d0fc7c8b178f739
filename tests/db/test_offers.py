"""Ready batches: one function offers them, at a virtual finish time that one function gives."""

from collections.abc import Sequence

import pytest

from db.engine import Connection
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import plan_queued

READY = "SELECT lane, cells, turn, not_before <= now() AS is_due FROM ready WHERE job_no = $1"


@pytest.fixture
async def jobs(connection: Connection) -> Sequence[int]:
    """Three jobs of two cells in one pool, each of one ready batch, whose virtual finish times are 2, 2 and 2."""
    jobs = await store_jobs(connection, [job_body(questions=2)] * 3)
    async with connection.transaction():
        await plan_queued(connection, batch_cells=2, is_claimed=False)
    return jobs


async def finish_time(connection: Connection, cells: int, follows: int = 0) -> int:
    time = "SELECT virtual_finish_time(identity_no, $1, $2) FROM ready LIMIT 1"
    found: int = await connection.fetchval(time, cells, follows)
    return found


async def test_an_offer_replaces_the_ready_row_of_the_batch(connection: Connection, jobs: Sequence[int]) -> None:
    offer = "SELECT offer_batch($1, 1, 7, 70, lane => 1, due_at => now() + interval '1 hour')"
    assert await connection.fetchval(offer, jobs[0])
    assert tuple(await connection.fetchrow(READY, jobs[0])) == (1, 7, 70, False)
    assert tuple(await connection.fetchrow(READY, jobs[1])) == (0, 2, 2, True)


async def test_an_offer_that_keeps_its_place_changes_nothing(connection: Connection, jobs: Sequence[int]) -> None:
    offer = "SELECT offer_batch($1, 1, 7, 70, lane => 1, keeps_place => true)"
    assert not await connection.fetchval(offer, jobs[0])
    assert tuple(await connection.fetchrow(READY, jobs[0])) == (0, 2, 2, True)
    await connection.execute("DELETE FROM ready")
    assert await connection.fetchval(offer, jobs[0])
    assert tuple(await connection.fetchrow(READY, jobs[0])) == (1, 7, 70, True)


async def test_work_ends_its_cells_after_the_smallest_time_that_is_due(
    connection: Connection, jobs: Sequence[int]
) -> None:
    await connection.execute("UPDATE ready SET turn = 5 WHERE job_no = $1", jobs[0])
    await connection.execute(
        "UPDATE ready SET turn = 1, not_before = now() + interval '1 hour' WHERE job_no = $1", jobs[1]
    )
    await connection.execute("UPDATE ready SET turn = 9 WHERE job_no = $1", jobs[2])
    assert await finish_time(connection, 3) == 8
    assert await finish_time(connection, 3, 6) == 8
    assert await finish_time(connection, 3, 11) == 11
    await connection.execute("DELETE FROM ready WHERE turn <> 1")
    assert await finish_time(connection, 3) == 3


async def test_offers_of_one_statement_don_t_move_each_others_time(connection: Connection, jobs: Sequence[int]) -> None:
    await connection.execute("DELETE FROM ready")
    await connection.execute(
        "SELECT offer_batch(job_no, batch_no, 4, virtual_finish_time(identity_no, 4)) FROM batches ORDER BY job_no"
    )
    assert [row["turn"] for row in await connection.fetch("SELECT turn FROM ready")] == [4, 4, 4]
