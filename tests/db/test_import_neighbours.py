"""Imports beside each other, and keys that come twice: what one does mustn't depend on what ran with it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from db.batches import ClaimedBatch
from db.engine import Connection, create_engine
from db.importing import DuplicateKeys, ImportRange, ImportSettlement, ReadRow
from tests.fleet_fixtures import connection
from tests.imports import Imports, plan_of, read
from worker import settlements

__all__ = ["connection"]


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Imports]:
    """Imports under the settings of a worker's connections."""
    engine = create_engine(database_url, size=8, pinned_plans=True)
    yield Imports(engine)
    await engine.dispose()


async def test_imports_at_their_limit_keep_nobody_else_waiting(ledger) -> None:
    quick = await ledger.coordinate(replace(plan_of([300]), dataset="quick", window=70))
    for _ in range(5):
        await ledger.record(*(read(*one) for one in await ledger.claim(calls=10)))
    for name in ("slow", "slower"):
        await ledger.coordinate(replace(plan_of([100]), dataset=name, max_concurrent=1, window=61))
    for _ in range(20):
        claimed = [one for one in await ledger.claim(calls=30) if one[0].job_no == quick]
        assert claimed, "the quick import gets nothing, though it has ready batches and room"
        await ledger.record(*(read(*one) for one in claimed))


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_key_that_came_twice_in_one_load_is_a_reject_where_it_was_known_too(
    ledger, connection, is_known: bool
) -> None:
    await ledger.coordinate(plan_of([1], rows=1))
    [before] = await ledger.claim()
    await load(ledger, with_key(*before, payload='{"v": "old"}'))
    job_no = await ledger.coordinate(plan_of([2], rows=1))
    first, second = await ledger.claim()
    await load(
        ledger,
        with_key(*first, payload='{"v": "first"}'),
        with_key(*second, payload='{"v": "second"}'),
        is_known=is_known,
    )
    rejects = await connection.fetchval("SELECT count(*) FROM rejects WHERE job_no = $1", job_no)
    assert rejects == 1


async def test_the_same_rows_imported_again_give_the_same_result(ledger, connection) -> None:
    results = []
    for _ in range(3):
        job_no = await ledger.coordinate(plan_of([2], rows=1))
        first, second = await ledger.claim()
        await load(ledger, with_key(*first, payload='{"v": "first"}'))
        await load(ledger, with_key(*second, payload='{"v": "second"}'))
        status = await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no)
        results.append((status, await connection.fetchval("SELECT payload::text FROM imported_records")))
    assert results == [("failed", '{"v": "first"}')] * 3


def with_key(batch: ClaimedBatch, given: ImportRange, *, payload: str) -> ImportSettlement:
    return ImportSettlement(batch, given, "completed", records=[ReadRow("k", payload, 0)])


async def load(ledger: Imports, *given: ImportSettlement, is_known: bool = False) -> None:
    """Record as the loader does: keys that came twice are rejected."""
    while True:
        try:
            await ledger.record(*given, is_known=is_known)
        except DuplicateKeys as twice:
            for one in given:
                if keys := twice.keys_by_batch.get((one.batch.job_no, one.batch.batch_no)):
                    settlements.reject_duplicates(one, keys)
        else:
            return
