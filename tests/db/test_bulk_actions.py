"""The items of an action over a filter: each is claimed by one transaction, and counted once."""

from collections.abc import AsyncIterator

import pytest

from db import bulk_actions
from db.bulk_actions import DONE, BulkAction, BulkCounts, BulkFilter, BulkName
from db.engine import Connection
from tests.support.connections import database_connections

WANTED = BulkFilter(1, BulkName.CANCEL_JOBS, "name=a", "as-of-1")
COUNTED = "SELECT matched, done, skipped FROM bulk_actions"


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    async with database_connections(database_url) as (opened,):
        yield opened


@pytest.fixture
async def action(connection: Connection) -> BulkAction:
    await bulk_actions.record_matches(connection, WANTED, [5, 3, 9])
    begun = await bulk_actions.begin(connection, WANTED, by="somebody", reason=None)
    assert begun is not None
    return begun


async def test_an_item_is_claimed_by_one_transaction_and_the_other_does_not_wait(
    connection: Connection, other: Connection, action: BulkAction
) -> None:
    async with connection.transaction(), other.transaction():
        assert await bulk_actions.claim(connection, action.bulk_no, [3])
        await other.execute("SET LOCAL lock_timeout = '10s'")
        assert not await bulk_actions.claim(other, action.bulk_no, [3])
        assert await bulk_actions.claim(other, action.bulk_no, [3, 5]) == [5]


async def test_an_item_with_an_outcome_is_neither_claimed_nor_listed_nor_counted_again(
    connection: Connection, action: BulkAction
) -> None:
    await bulk_actions.finish(connection, action.bulk_no, [3], DONE)
    await bulk_actions.finish(connection, action.bulk_no, [5], "already_ended")
    for outcome in (DONE, "no_longer_matches"):
        await bulk_actions.finish(connection, action.bulk_no, [3], outcome)
    assert not await bulk_actions.claim(connection, action.bulk_no, [3])
    assert await bulk_actions.list_left(connection, action.bulk_no, after=-1, limit=5) == [9]
    counts = BulkCounts(done=1, left=1, skipped={"already_ended": 1})
    assert await bulk_actions.count_outcomes(connection, action.bulk_no) == counts
    assert tuple(await connection.fetchrow(COUNTED)) == (3, 1, 1)


async def test_items_are_listed_in_pages_in_their_order(connection: Connection, action: BulkAction) -> None:
    assert await bulk_actions.list_left(connection, action.bulk_no, after=-1, limit=2) == [3, 5]
    assert await bulk_actions.list_left(connection, action.bulk_no, after=5, limit=2) == [9]


async def test_an_action_that_goes_on_stays_its_first_actors(connection: Connection, action: BulkAction) -> None:
    before = await connection.fetchrow("SELECT operation_no, at, by, reason FROM bulk_actions")
    again = await bulk_actions.begin(connection, WANTED, by="somebody else", reason="for another reason")
    assert again == action
    assert await connection.fetchrow("SELECT operation_no, at, by, reason FROM bulk_actions") == before
