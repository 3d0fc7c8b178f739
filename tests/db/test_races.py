"""Transactions that meet at the worst moment: each wave and job ends once, nothing is lost, no deadlock gets out."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from db import cancelling, results
from db.controls import Actor
from db.engine import Connection, Engine, create_engine, in_transaction
from db.results import BatchReport, CellsAlreadyTerminal, Recorded
from db.tenants import DEFAULT_TENANT_NO
from tests.support.connections import database_connections
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, statuses
from tests.support.planned_batches import answered, plan_and_claim, plan_queued
from tests.support.waiting import eventually_async

T = TypeVar("T")
Cancel = Callable[[Connection, int], Awaitable[None]]


class Tries:
    """Runs units as workers do, and counts how often one had to be repeated because of a deadlock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.repeated = 0

    async def run(self, unit: Callable[[Connection], Awaitable[T]]) -> T:
        tries = 0

        async def counted(connection: Connection) -> T:
            nonlocal tries
            tries += 1
            return await unit(connection)

        done = await in_transaction(self.engine, counted)
        self.repeated += tries - 1
        return done

    async def record(self, *reports: BatchReport) -> Recorded:
        return await self.run(lambda c: results.record(c, reports, source="a test"))


@pytest.fixture
async def tries(database_url: str, connection: Connection) -> AsyncIterator[Tries]:
    """The engine of a worker; a deadlock is found after 10 ms instead of a second."""
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{database}\" SET deadlock_timeout = '10ms'")
    engine = create_engine(database_url, size=4, pinned_plans=True)
    yield Tries(engine)
    await engine.dispose()


async def test_two_last_batches_that_end_at_the_same_moment_end_their_job_once(tries, connection) -> None:
    jobs = await plan_and_claim(connection, [job_body(questions=2)] * 200, batch_cells=1)
    found = []
    for first, second in jobs:
        both = await asyncio.gather(tries.record(answered(first)), tries.record(answered(second)))
        found.append(sorted(result.jobs[0].status for result in both))
    assert tries.repeated == 0
    assert found == [["completed", "running"]] * 200
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'finished'") == 200
    await assert_audit(connection)


async def test_several_batches_in_one_flush_beside_a_last_one_end_their_job_once(tries, connection) -> None:
    jobs = await plan_and_claim(connection, [job_body(questions=5)] * 100, batch_cells=1)
    for batches in jobs:
        parts = batches[:2], batches[2:4], batches[4:]
        recorded = await asyncio.gather(*(tries.record(*map(answered, part)) for part in parts))
        assert sorted(result.jobs[0].status for result in recorded) == ["completed", "running", "running"]
    assert tries.repeated == 0
    await assert_audit(connection)


async def test_flushes_over_the_same_jobs_in_opposite_order(tries, connection) -> None:
    dice = random.Random(5)
    for _ in range(100):
        jobs = await plan_and_claim(connection, [job_body(questions=2)] * 10, batch_cells=1)
        forth = [answered(first) for first, _ in jobs]
        back = [answered(second) for _, second in reversed(jobs)]
        dice.shuffle(back)
        await asyncio.gather(tries.record(*forth), tries.record(*back))
    assert tries.repeated == 0
    assert await statuses(connection) == {"completed": 1000}
    await assert_audit(connection)


async def cancel_bottom_up(connection: Connection, job_no: int) -> None:
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
    await cancelling.cancel(connection, DEFAULT_TENANT_NO, job_id, Actor("a test", None, 1))


async def cancel_top_down(connection: Connection, job_no: int) -> None:
    await connection.execute("SELECT FROM jobs WHERE job_no = $1 FOR NO KEY UPDATE", job_no)
    await connection.execute("SELECT FROM waves WHERE job_no = $1 FOR NO KEY UPDATE", job_no)
    await cancel_bottom_up(connection, job_no)


@pytest.mark.parametrize(("cancel", "times"), [(cancel_bottom_up, 750), (cancel_top_down, 250)])
async def test_finish_against_cancel(tries, connection, cancel: Cancel, times: int) -> None:
    jobs = await plan_and_claim(connection, [job_body(questions=6)] * times, batch_cells=3)
    dice = random.Random(7)
    for first, second in jobs:
        steps = [
            tries.record(answered(first)),
            tries.run(lambda c, job_no=first.job_no: cancel(c, job_no)),
            tries.record(answered(second)),
        ]
        dice.shuffle(steps)
        await asyncio.gather(*steps)
    await all_ended(connection)
    found = await statuses(connection)
    assert found["completed"] + found["cancelled"] == times
    assert found["completed"] > 0
    assert found["cancelled"] > 0
    assert (tries.repeated > 0) is (cancel is cancel_top_down)
    await assert_audit(connection)


async def test_a_lease_that_another_took_lets_nothing_be_written(tries, connection) -> None:
    """Fence and holder both count: a fence number may be issued twice when the server forgot a claim in a crash."""
    ((batch,),) = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    await connection.execute("UPDATE batches SET fence = fence + 1")
    assert (await tries.record(answered(batch))).written == []
    await connection.execute("UPDATE batches SET holder = holder + 1")
    batch.fence += 1
    assert (await tries.record(answered(batch))).written == []
    assert await attempts(connection) == {("planned", 0): 3}
    batch.holder += 1
    assert (await tries.record(answered(batch))).jobs[0].status == "completed"
    await assert_audit(connection)


async def test_a_stale_writer_that_raced_with_the_new_holder_writes_nothing(tries, connection, database_url) -> None:
    """It waits for the row that the claim has locked, and then sees whose it is."""
    ((batch,),) = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    async with database_connections(database_url) as (claimer,):
        claim = claimer.transaction()
        await claim.start()
        await claimer.execute("UPDATE batches SET fence = fence + 1, holder = holder + 1")
        late = asyncio.create_task(tries.record(answered(batch, output="late")))

        async def waits() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually_async(waits, what="the stale writer waits for the claim")
        await claim.commit()
    assert (await late).written == []
    assert await attempts(connection) == {("planned", 0): 3}


async def test_a_cell_with_a_result_keeps_it_under_any_fence(tries, connection) -> None:
    ((batch,),) = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    await connection.execute(
        "UPDATE executions SET status = 'completed', output = 'first', started_at = now(), finished_at = now()"
        " WHERE question_no = 1"
    )
    with pytest.raises(CellsAlreadyTerminal):
        await tries.record(answered(batch, output="second"))
    rows = await connection.fetch("SELECT status, output FROM executions ORDER BY question_no")
    assert [tuple(row) for row in rows] == [("planned", None), ("completed", "first"), ("planned", None)]


async def test_a_transaction_that_began_before_a_job_was_queued_plans_it_no_earlier(connection, database_url) -> None:
    async with database_connections(database_url) as (planner,):
        async with planner.transaction():
            await planner.execute("SELECT now()")
            await store_jobs(connection, [job_body(questions=2)])
            ((batch, _),) = await plan_queued(planner, batch_cells=1)
        queued_at = await connection.fetchval("SELECT extract(EPOCH FROM queued_at)::float8 FROM jobs")
        assert batch.claimed_at >= queued_at
        await assert_audit(connection)
