"""The lock of a coordination: one holder, which alone can renew and release it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from broker import locks
from broker.envelopes import Client
from tests.support.connections import broker_client
from tests.support.waiting import eventually_async


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with broker_client(redis_url) as client:
        yield client


async def test_one_of_many_gets_the_lock(client: Client) -> None:
    got = await asyncio.gather(*(locks.acquire(client, 1, f"token-{n}", 60) for n in range(5)))
    assert sum(got) == 1
    assert await locks.acquire(client, 2, "token", 60)


async def test_only_the_holder_renews_and_releases(client: Client) -> None:
    assert await locks.acquire(client, 1, "mine", 60)
    assert await locks.renew(client, 1, "mine", 60)
    assert not await locks.renew(client, 1, "another", 60)
    await locks.release(client, 1, "another")
    assert not await locks.acquire(client, 1, "another", 60)
    await locks.release(client, 1, "mine")
    assert await locks.acquire(client, 1, "another", 60)


async def test_a_lock_that_is_not_renewed_runs_out(client: Client) -> None:
    assert await locks.acquire(client, 1, "mine", 0.05)
    await eventually_async(lambda: locks.acquire(client, 1, "another", 60))
    assert not await locks.renew(client, 1, "mine", 60)
