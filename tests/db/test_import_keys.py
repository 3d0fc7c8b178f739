"""Keys that come twice: the count is exact and the first row stays, whichever transactions run side by side."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from db import import_results
from db.batches import ClaimedBatch
from db.engine import UNAVAILABLE, Connection, create_engine, in_transaction, repeats
from db.import_reports import ImportRange, ImportReport, ReadRow
from db.import_results import ImportRecorded
from db.record_writing import DuplicateKeys
from tests.support.connections import database_connections
from tests.support.import_steps import ImportSteps, import_steps, plan_of
from tests.support.waiting import eventually_async
from worker.imports import batch_ends


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("payload", ['{"v": "old"}', '{"v": "first"}', '{"v": "second"}'])
async def test_of_two_batches_of_a_load_the_first_keeps_a_key_that_was_known(
    ledger, connection, payload: str, *, is_known: bool
) -> None:
    await know(ledger, k=payload)
    job_no = await ledger.coordinate(plan_of([2], rows=1))
    first, second = await ledger.claim()
    await load(ledger, holding(*first, k='{"v": "first"}'), holding(*second, k='{"v": "second"}'), is_known=is_known)
    is_updated = payload != '{"v": "first"}'
    assert await counts(connection, job_no) == [(0, is_updated, not is_updated, 0), (0, 0, 0, 1)]
    assert await payloads(connection) == {"k": '{"v": "first"}'}


@pytest.mark.parametrize("is_known", [False, True])
async def test_of_two_loads_at_once_the_second_rejects_a_key_that_the_first_updates(
    ledger, connection, *, is_known: bool
) -> None:
    await know(ledger, k='{"v": "old"}')
    job_no = await ledger.coordinate(plan_of([2], rows=1))
    first, second = await ledger.claim()
    wrote, may_commit = asyncio.Event(), asyncio.Event()

    async def write_and_wait(c: Connection) -> ImportRecorded:
        recorded = await import_results.record(
            c, [holding(*first, k='{"v": "first"}')], source="a test", is_known=is_known
        )
        wrote.set()
        await may_commit.wait()
        return recorded

    async with asyncio.TaskGroup() as group:
        group.create_task(in_transaction(ledger.engine, write_and_wait))
        await wrote.wait()
        group.create_task(load(ledger, holding(*second, k='{"v": "second"}'), is_known=is_known))
        await waiting(connection, 1)
        may_commit.set()
    assert await counts(connection, job_no) == [(0, 1, 0, 0), (0, 0, 0, 1)]
    assert await payloads(connection) == {"k": '{"v": "first"}'}


async def test_loads_of_the_same_rows_wait_for_each_other_in_one_order(ledger, connection, database_url) -> None:
    """One inserts `new`, then stands before `a`; the other would update `b`, then wait for `new`: a circle."""
    await know(ledger, a="{}", b="{}")
    for _ in range(2):
        await ledger.coordinate(plan_of([1], rows=1))
    claim, other = await ledger.claim()
    met_before = repeats["DeadlockDetectedError"]
    async with database_connections(database_url) as (locker,), asyncio.TaskGroup() as group, locker.transaction():
        await locker.execute("SELECT FROM imported_records WHERE record_key = 'a' FOR UPDATE")
        rows = {"new": "[1]", "a": "[1]", "b": "[1]"}
        group.create_task(ledger.record(holding(*claim, **rows), is_known=False))
        await waiting(connection, 1)
        group.create_task(ledger.record(holding(*other, new="[2]", b="[2]"), is_known=True))
        await waiting(connection, 2)
    assert repeats["DeadlockDetectedError"] == met_before
    assert await payloads(connection) == {"a": "[1]", "b": "[2]", "new": "[2]"}


async def test_a_process_that_stands_still_in_a_load_keeps_its_rows_from_others_for_so_long_only(
    ledger, connection, database_url
) -> None:
    engine = create_engine(database_url, size=1, pinned_plans=True, idle_seconds=1)
    for _ in range(2):
        await ledger.coordinate(plan_of([1], rows=1))
    still, other = await ledger.claim()

    async def write_and_stand_still(c: Connection) -> None:
        await import_results.record(c, [holding(*still, k="[1]")], source="a test")
        assert await ledger.record(holding(*other, k="[2]"))

    with pytest.raises(UNAVAILABLE):
        await in_transaction(engine, write_and_stand_still)
    await engine.dispose()
    assert await payloads(connection) == {"k": "[2]"}


async def know(ledger: ImportSteps, **payload_by_key: str) -> None:
    """Let an earlier import have written these rows."""
    await ledger.coordinate(plan_of([1], rows=1))
    [before] = await ledger.claim()
    await ledger.record(holding(*before, **payload_by_key))


def holding(batch: ClaimedBatch, given: ImportRange, **payload_by_key: str) -> ImportReport:
    rows = [ReadRow(key, payload, n) for n, (key, payload) in enumerate(payload_by_key.items())]
    return ImportReport(batch, given, "completed", rows_read=len(rows), records=rows, max_rejects=1)


async def load(ledger: ImportSteps, *given: ImportReport, is_known: bool = False) -> None:
    """Record as the loader does: keys that came twice are rejected."""
    while True:
        try:
            await ledger.record(*given, is_known=is_known)
        except DuplicateKeys as twice:
            for claim in given:
                if keys := twice.keys_by_batch.get((claim.batch.job_no, claim.batch.batch_no)):
                    batch_ends.reject_duplicates(claim, keys)
        else:
            return


async def waiting(connection: Connection, count: int) -> None:
    """Wait until so many transactions wait for locks."""

    async def look() -> bool:
        return count == await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

    await eventually_async(look, what=f"{count} wait for a lock")


async def counts(connection: Connection, job_no: int) -> list[tuple[int, int, int, int]]:
    """What the batches of a job inserted, updated, left as it was and rejected."""
    rows = await connection.fetch(
        """
        SELECT rows_inserted, rows_updated, rows_unchanged, rows_rejected
        FROM import_batches WHERE job_no = $1 ORDER BY batch_no
        """,
        job_no,
    )
    return [tuple(row) for row in rows]


async def payloads(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT record_key, payload::text AS payload FROM imported_records")
    return {row["record_key"]: row["payload"] for row in rows}
