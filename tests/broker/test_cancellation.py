"""A task that is cancelled while Redis answers it ends, at any step of the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import redis

from broker import envelopes, locks, notices
from broker.envelopes import BrokerError, Client
from tests.support.connections import broker_client, envelope_of

OPERATIONS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "publish": lambda client: envelopes.publish(client, [envelope_of(1)]),
    "reserve": lambda client: envelopes.reserve(client, "one", count=1, block_seconds=0.001),
    "acknowledge": lambda client: envelopes.acknowledge(client, [b"1-1"]),
    "notice": lambda client: notices.publish(client, notices.Notice("pauses")),
    "lock": lambda client: locks.acquire(client, 1, "token", 1.0),
}


async def is_heard(
    operation: Callable[[], Awaitable[object]], turn: int, meanwhile: Callable[[int], None] | None = None
) -> bool:
    """Cancel a task at this step of the loop, in the operation or after it; say whether the task ended."""

    async def run() -> None:
        with suppress(BrokerError):
            await operation()
        await asyncio.Event().wait()

    task = asyncio.create_task(run())
    for earlier in range(turn):
        if meanwhile:
            meanwhile(earlier)
        await asyncio.sleep(0)
    task.cancel()
    _, pending = await asyncio.wait((task,), timeout=0.5)
    if pending:
        task.cancel()
        await asyncio.wait((task,))
    return not pending


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_a_cancellation_is_heard_at_every_turn(redis_url: str, operation) -> None:
    async with broker_client(redis_url) as client:
        await envelopes.reserve(client, "one", count=1, block_seconds=0.001)
        unheard = [turn for turn in range(100) if not await is_heard(lambda: operation(client), turn)]
    assert unheard == []


@pytest.mark.parametrize("cut_at", range(6))
async def test_a_cancellation_is_heard_though_the_connection_breaks(redis_url: str, cut_at: int) -> None:
    """The server closes the connection while the client sends, so that what ends the sending is an error."""
    async with broker_client(redis_url) as client:
        with redis.Redis.from_url(redis_url) as other:

            def cut(turn: int) -> None:
                if turn == cut_at:
                    other.client_kill_filter(_type="normal", skipme=True)

            unheard = []
            for turn in range(12):
                await client.ping()
                if not await is_heard(lambda: envelopes.publish(client, [envelope_of(1)]), turn, cut):
                    unheard.append(turn)
    assert unheard == []


async def test_a_cancellation_is_heard_while_all_connections_are_in_use(redis_url: str) -> None:
    """Cancelled tasks leave the connection that they wait for to the others."""
    client = envelopes.connect(redis_url, connections=1)
    try:
        await envelopes.reserve(client, "one", count=1, block_seconds=0.001)
        unheard = []
        for turn in range(0, 40, 4):
            holder = asyncio.create_task(envelopes.reserve(client, "one", count=1, block_seconds=0.02))
            await asyncio.sleep(0)
            if not await is_heard(lambda: envelopes.publish(client, [envelope_of(1)]), turn):
                unheard.append(turn)
            await holder
            await client.ping()
    finally:
        await client.aclose()
    assert unheard == []


async def test_a_command_waits_while_all_connections_are_in_use(redis_url: str) -> None:
    client = envelopes.connect(redis_url, connections=2)
    try:
        await asyncio.gather(*(notices.publish(client, notices.Notice("pauses")) for _ in range(100)))
    finally:
        await client.aclose()
