"""The order in which imports of one record type pin their sources: one at a time, in the order of virtual time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from db import cancelling, import_coordination
from db.engine import Connection, in_transaction, repeats
from db.import_coordination import Coordination, Waiting
from db.reconciliation import find_owed_work
from db.tenants import DEFAULT_TENANT_NO
from tests.support.import_order import (
    ACTOR,
    FILE,
    TABLE,
    planned,
    spec,
    status,
    transaction_held_open,
    wait_for_blocked,
)
from tests.support.import_steps import SERVED, ImportSteps, import_steps, plan_of


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def due(connection: Connection) -> list[int]:
    return [job_no for job_no, _ in await import_coordination.find_imports(connection, SERVED, limit=100)]


async def test_an_import_that_begins_in_the_moment_in_which_another_one_does_waits_for_it(ledger, connection) -> None:
    first, second = [await ledger.submit(FILE) for _ in range(2)]
    task, may_commit = await transaction_held_open(ledger, lambda c: ledger.begin_within(c, first))
    begun = asyncio.create_task(ledger.begin_or_wait(second))
    await wait_for_blocked(connection)
    may_commit.set()
    await task
    assert isinstance(await begun, Waiting)


async def test_of_imports_that_begin_at_once_one_pins_the_source_and_the_others_say_whom_they_wait_for(ledger) -> None:
    for round_no in range(5):
        given = spec("type-0", dataset=f"dataset {round_no}")
        jobs = [await ledger.submit(given) for _ in range(6)]
        begun = await asyncio.gather(*map(ledger.begin_or_wait, jobs))
        assert sum(isinstance(outcome, Coordination) for outcome in begun) == 1
        assert sum(isinstance(outcome, Waiting) for outcome in begun) == 5


async def test_imports_of_two_record_types_in_opposite_order_neither_both_begin_nor_meet_in_a_circle(
    ledger, connection
) -> None:
    met_before = repeats["DeadlockDetectedError"]
    for round_no in range(8):
        dataset = f"dataset {round_no}"
        job_no = await ledger.submit(spec("type-0", "type-1", dataset=dataset))
        other = await ledger.submit(spec("type-1", "type-0", dataset=dataset))
        begun = await asyncio.gather(*map(ledger.begin_or_wait, (job_no, other)))
        [coordination] = [each for each in begun if isinstance(each, Coordination)]
        await ledger.write(coordination, plan_of([1], [1]))
        [left] = {job_no, other} - {coordination.job_no}
        then = await ledger.begin(left)
        assert then is not None
        await ledger.write(then, plan_of([1], [1]))
    assert repeats["DeadlockDetectedError"] == met_before
    numbers = await connection.fetch(
        "SELECT array_agg(generation ORDER BY id) AS both FROM record_types GROUP BY job_no"
    )
    assert sorted(row["both"] for row in numbers) == [[n, n] for n in range(1, 17)]


async def test_imports_that_share_no_record_type_begin_side_by_side(ledger) -> None:
    for given in (FILE, spec("type-1"), spec("type-0", dataset="another")):
        assert await ledger.begin(await ledger.submit(given)) is not None


async def test_an_import_waits_until_the_one_before_it_is_planned_and_is_found_then(ledger, connection) -> None:
    first, second, third = [await ledger.submit(FILE) for _ in range(3)]
    coordination = await ledger.begin(first)
    waits = [await ledger.begin_or_wait(other_no) for other_no in (second, third)]
    ids = [await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", other_no) for other_no in (first, second)]
    assert [waiting.other_id for waiting in waits] == ids
    assert await due(connection) == []
    assert await find_owed_work(connection, min_seconds=0) == []
    await ledger.write(coordination, plan_of([1]))
    assert await due(connection) == [second]
    assert (second, None) in await find_owed_work(connection, min_seconds=0)
    assert isinstance(await ledger.begin_or_wait(third), Waiting)  # by virtual time, whichever worker looks first
    then = await ledger.begin(second)
    await ledger.write(then, plan_of([1]))
    assert await due(connection) == [third]
    assert await ledger.begin(third) is not None


async def test_an_import_that_waits_goes_on_when_the_one_before_it_ends_unplanned(ledger, connection) -> None:
    first, second = [await ledger.submit(FILE) for _ in range(2)]
    coordination = await ledger.begin(first)
    await ledger.begin_or_wait(second)
    await ledger.fail(coordination, "source_unreadable", "It is gone.")
    assert await due(connection) == [second]


async def test_an_import_that_was_rescheduled_does_not_keep_those_behind_it(ledger, connection) -> None:
    first, second = [await ledger.submit(FILE) for _ in range(2)]
    coordination = await ledger.begin(first)
    await ledger.begin_or_wait(second)
    await ledger.reschedule(coordination, "source_unavailable", "Nobody answers.")
    assert await due(connection) == [second]
    then = await ledger.begin(second)
    await connection.execute("UPDATE imports SET not_before = NULL WHERE job_no = $1", first)
    assert isinstance(await ledger.begin_or_wait(first), Waiting)
    await ledger.write(then, plan_of([1]))
    assert await due(connection) == [first]


async def test_two_imports_never_wait_for_each_other(ledger, connection) -> None:
    """The first by virtual time waits for the second, which is rescheduled, and then finds the first waiting."""
    first, second = [await ledger.submit(FILE) for _ in range(2)]
    coordination = await ledger.begin(second)
    await ledger.begin_or_wait(first)
    await ledger.reschedule(coordination, "source_unavailable", "Nobody answers.", seconds=0)
    assert isinstance(await ledger.begin_or_wait(second), Waiting)
    assert await due(connection) == [first]


async def test_a_coordinator_whose_lease_ran_out_blocks_no_other_and_can_not_write_an_older_state_later(
    ledger, connection
) -> None:
    first, second = [await ledger.submit(FILE) for _ in range(2)]
    late = await ledger.begin(first, lease_seconds=0)
    coordination = await ledger.begin(second)
    assert await ledger.write(late, plan_of([1])) is None
    assert isinstance(await ledger.begin_or_wait(first), Waiting)
    assert await due(connection) == []
    await ledger.write(coordination, plan_of([1]))
    assert await due(connection) == [first]
    again = await ledger.begin(first)
    assert (again.lost_leases, again.fenced_sources) == (1, ["initial"])
    await ledger.write(again, plan_of([1]))
    numbers = await connection.fetch("SELECT job_no, generation FROM record_types ORDER BY generation")
    assert [tuple(row) for row in numbers] == [(second, 1), (first, 2)]


async def test_an_import_that_is_cancelled_while_it_waits_blocks_no_other(ledger, connection) -> None:
    first, second, third = [await ledger.submit(FILE) for _ in range(3)]
    coordination = await ledger.begin(first)
    for other_no in (second, third):
        await ledger.begin_or_wait(other_no)
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", second)
    await in_transaction(ledger.engine, lambda c: cancelling.cancel(c, DEFAULT_TENANT_NO, job_id, ACTOR))
    await ledger.write(coordination, plan_of([1]))
    assert await due(connection) == [third]


async def test_files_are_imported_concurrently_and_sources_without_a_snapshot_alone(ledger, connection) -> None:
    for older, newer, may_begin in (
        (FILE, FILE, True),
        (FILE, TABLE, False),
        (TABLE, FILE, False),
        (TABLE, TABLE, False),
    ):
        first = await planned(ledger, older)
        second = await ledger.submit(newer)
        begun = await ledger.begin_or_wait(second)
        assert isinstance(begun, Coordination) == may_begin, (older, newer)
        if not may_begin:
            assert begun.until_end
            assert await due(connection) == []
            await ledger.run_all()
            assert await status(connection, first) == "completed"
            assert await due(connection) == [second]
            begun = await ledger.begin(second)
        await ledger.write(begun, plan_of([1]))
        await ledger.run_all()


async def test_an_import_that_waits_for_an_end_is_not_overtaken_by_files_that_could_overlap(ledger, connection) -> None:
    await planned(ledger, FILE)
    table, file = await ledger.submit(TABLE), await ledger.submit(FILE)
    assert isinstance(await ledger.begin_or_wait(table), Waiting)
    assert isinstance(await ledger.begin_or_wait(file), Waiting)
    await ledger.run_all()
    assert await due(connection) == [table]
