"""Leading: one reconciler at a time, and none that stands still keeps the others from it."""

from collections.abc import AsyncIterator

import pytest

from db import reconciliation
from db.engine import GONE, Engine, create_engine
from db.reconciliation import leadership
from tests.waiting import eventually_async


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[list[Engine]]:
    """Of two workers."""
    made = [create_engine(database_url, size=1) for _ in range(2)]
    yield made
    for engine in made:
        await engine.dispose()


async def test_one_leads_and_the_next_one_after_it(pair) -> None:
    one, other = pair
    async with leadership(one) as first, leadership(other) as second:
        assert first is not None
        assert second is None
    async with leadership(other) as second:
        assert second is not None


async def test_a_leader_that_stands_still_is_followed_by_another(pair, monkeypatch) -> None:
    monkeypatch.setattr(reconciliation, "IDLE_SECONDS", 1)
    one, other = pair

    async def leads() -> bool:
        async with leadership(other) as second:
            return second is not None

    async def stand_still() -> None:
        async with leadership(one) as first:
            assert first is not None
            await eventually_async(leads)
            await first.execute("SELECT 1")

    with pytest.raises(GONE):
        await stand_still()
    async with leadership(one) as first:
        assert first is not None
