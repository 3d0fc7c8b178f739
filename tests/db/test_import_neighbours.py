"""Concurrent imports: none waits for something that only another import lacks."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.import_steps import ImportSteps, import_steps, plan_of, read


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def test_imports_at_their_limit_keep_no_other_waiting(ledger) -> None:
    quick = await ledger.coordinate(replace(plan_of([300]), dataset="quick", window=70))
    for _ in range(5):
        await ledger.record(*(read(*claim) for claim in await ledger.claim(calls=10)))
    for name in ("slow", "slower"):
        await ledger.coordinate(replace(plan_of([100]), dataset=name, max_concurrent=1, window=61))
    for _ in range(20):
        claimed = [claim for claim in await ledger.claim(calls=30) if claim[0].job_no == quick]
        assert claimed, "the quick import gets nothing, though it has ready batches and room"
        await ledger.record(*(read(*claim) for claim in claimed))


async def test_jobs_on_the_skip_list_hide_no_other_work(ledger) -> None:
    quick = await ledger.coordinate(replace(plan_of([300]), dataset="quick", window=70))
    for _ in range(9):
        await ledger.record(*(read(*claim) for claim in await ledger.claim(calls=10)))
    left = await ledger.coordinate(replace(plan_of([100]), dataset="left", window=70))
    for _ in range(10):
        claimed = await ledger.claim(calls=10, but_not=[left])
        assert [batch.job_no for batch, _ in claimed] == [quick] * 10
        await ledger.record(*(read(*claim) for claim in claimed))
