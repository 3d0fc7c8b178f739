"""Claiming: each due batch to one worker, no waiting, and a hint never outweighs the batch's own row."""

from collections.abc import AsyncIterator

import pytest

from db.batches import Claimant, ClaimedBatch, find_first_due, next_due_seconds
from db.claiming import claim_cells
from db.engine import Connection
from tests.support.configurations import CONFIGURATION_NO, POOLS
from tests.support.connections import database_connections
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import plan_and_claim, plan_queued

US = {("echo", "us-east"): POOLS["echo", "us-east"]}
HINT = """
INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
SELECT b.job_no, b.batch_no, b.provider, b.region, b.identity_no, 1, b.cells, 0 FROM batches AS b
"""


async def take(connection: Connection, *, cells: int = 1000, holder: int = 1) -> list[ClaimedBatch]:
    async with connection.transaction():
        return (await claim_cells(connection, US, Claimant(holder, 1, 60, CONFIGURATION_NO), cells=cells)).batches


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    """Another worker's connection, that would rather fail than wait."""
    async with database_connections(database_url, lock_timeout="200ms") as (other,):
        yield other


async def ready(connection: Connection, *, batches: int) -> None:
    """A job whose batches of one cell are due."""
    async with connection.transaction():
        await store_jobs(connection, [job_body(questions=batches)])
        await plan_queued(connection, batch_cells=1, is_claimed=False)


async def hints(connection: Connection) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM ready")
    return found


async def job_no(connection: Connection) -> int:
    found: int = await connection.fetchval("SELECT job_no FROM jobs")
    return found


async def test_simultaneous_claims_wait_for_nothing_and_share_nothing(connection, other) -> None:
    await ready(connection, batches=8)
    async with connection.transaction():
        first = await take(connection, cells=3)
        second = await take(other, holder=2)
    assert len(first) == 3
    assert len(second) == 5
    assert not {batch.batch_no for batch in first} & {batch.batch_no for batch in second}
    assert await hints(connection) == 0


async def test_a_batch_whose_row_is_locked_stays_for_later(connection, other) -> None:
    await ready(connection, batches=2)
    async with connection.transaction():
        await connection.execute("SELECT FROM batches WHERE batch_no = 1 FOR NO KEY UPDATE")
        assert [batch.batch_no for batch in await take(other)] == [2]
    assert [batch.batch_no for batch in await take(other)] == [1]


async def test_a_batch_under_a_living_lease_is_not_claimed_and_its_hint_goes(connection) -> None:
    await plan_and_claim(connection, [job_body(questions=2)], batch_cells=2)
    await connection.execute(HINT)
    assert await take(connection) == []
    assert await hints(connection) == 0
    assert await connection.fetchval("SELECT fence FROM batches") == 1


async def test_a_batch_whose_lease_ran_out_is_taken_under_a_higher_fence(connection) -> None:
    await plan_and_claim(connection, [job_body(questions=2)], batch_cells=2)
    await connection.execute("UPDATE batches SET lease_until = now() - interval '1 s'")
    await connection.execute(HINT)
    (taken,) = await take(connection)
    assert (taken.fence, taken.was_lost, taken.lost_leases) == (2, True, 1)


async def test_a_batch_that_is_due_later_is_not_claimed(connection) -> None:
    await ready(connection, batches=2)
    await connection.execute("UPDATE ready SET not_before = now() + interval '1 h' WHERE batch_no = 1")
    assert [batch.batch_no for batch in await take(connection)] == [2]
    assert await hints(connection) == 1


async def test_the_nearest_turn_goes_first_and_as_far_as_there_is_room(connection) -> None:
    await ready(connection, batches=5)
    await connection.execute("UPDATE ready SET turn = 100 - batch_no")
    assert {batch.batch_no for batch in await take(connection, cells=2)} == {5, 4}
    assert {batch.batch_no for batch in await take(connection, cells=2)} == {3, 2}


async def test_work_that_became_due_since_the_last_look_is_not_waited_for(connection) -> None:
    """Asked from now on, a batch that became due between the look and the question would be in no answer."""
    await ready(connection, batches=1)
    looked_at = await connection.fetchval("SELECT now()")
    await connection.execute("UPDATE ready SET not_before = clock_timestamp()")
    assert await next_due_seconds(connection, None) is None
    due_in_seconds = await next_due_seconds(connection, looked_at)
    assert due_in_seconds is not None
    assert due_in_seconds <= 0


async def test_pools_that_share_an_identity_are_claimed_apart(connection) -> None:
    """As those of two kinds of jobs that read below the same root."""
    await ready(connection, batches=2)
    for table in ("ready", "batches"):
        await connection.execute(f"UPDATE {table} SET provider = 'other', region = '' WHERE batch_no = 1")
    other_pool = {("other", ""): POOLS["echo", "us-east"]}
    assert await find_first_due(connection, other_pool) == (await job_no(connection), 1)
    assert [batch.batch_no for batch in await take(connection)] == [2]
    assert await find_first_due(connection, US) is None
    async with connection.transaction():
        claimant = Claimant(2, 1, 60, CONFIGURATION_NO)
        taken = (await claim_cells(connection, other_pool, claimant, cells=1000)).batches
    assert [batch.batch_no for batch in taken] == [1]
