"""Notices: every listener gets them at once, and skips those that it can't read."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import Notice
from tests.support.connections import broker_client
from tests.support.waiting import eventually_async

PAUSES = Notice(about="pauses")
ABOUT = ("pauses", "cancelled")


@pytest.fixture(autouse=True)
def own_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's: other tests' processes listen on the same server."""
    monkeypatch.setattr(notices, "CHANNEL", f"test:{secrets.token_hex(4)}")
    monkeypatch.setattr(notices, "EVENTS_CHANNEL", f"test:{secrets.token_hex(4)}")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with broker_client(redis_url) as client:
        yield client


@asynccontextmanager
async def listening(client: Client, *, listeners: int = 1) -> AsyncIterator[list[list[Notice]]]:
    """What so many listeners have heard, once all of them listen."""
    heard: list[list[Notice]] = [[] for _ in range(listeners)]
    tasks = [asyncio.create_task(_listen(client, received)) for received in heard]
    await eventually_async(lambda: _listeners(client, listeners), what="all listen")
    yield heard
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _listen(client: Client, heard: list[Notice]) -> None:
    async for notice in notices.listen(client, ABOUT):
        heard.append(notice)  # noqa: PERF401 - each is looked at when it comes


async def _listeners(client: Client, count: int) -> bool:
    subscribed: Any = await client.pubsub_numsub(notices.CHANNEL)
    return bool(subscribed[0][1] == count)


def counted(heard: list[list[Notice]], count: int) -> Awaitable[bool]:
    async def look() -> bool:
        return all(len(received) >= count for received in heard)

    return eventually_async(look, what="heard")


async def test_every_listener_gets_a_notice(client: Client) -> None:
    async with listening(client, listeners=2) as heard:
        await notices.publish(client, PAUSES)
        await notices.publish(client, Notice(about="cancelled", job=7))
        await counted(heard, 2)
        assert heard == [[PAUSES, Notice(about="cancelled", job=7)]] * 2


async def test_events_have_a_channel_of_their_own(client: Client) -> None:
    """Who listens for anything else isn't even woken by them."""
    async with client.pubsub(ignore_subscribe_messages=True) as other, client.pubsub() as events:
        await other.subscribe(notices.CHANNEL)
        await events.subscribe(notices.EVENTS_CHANNEL)
        await eventually_async(lambda: _listeners(client, 1), what="it listens")
        for notice in (Notice(notices.EVENTS), PAUSES):
            await notices.publish(client, notice)
        received: Any = await eventually_async(lambda: other.get_message(timeout=1), what="a notice")
        assert received["data"] == PAUSES.to_bytes()
        assert [(await events.get_message(timeout=5))["type"] for _ in range(2)] == ["subscribe", "message"]


async def test_a_listener_for_events_hears_of_nothing_else(client: Client) -> None:
    heard: list[Notice] = []

    async def listen() -> None:
        async for notice in notices.listen(client, (notices.EVENTS,)):
            heard.append(notice)  # noqa: PERF401 - as above

    async def is_heard() -> bool:
        for notice in (PAUSES, Notice(notices.EVENTS)):
            await notices.publish(client, notice)
        return bool(heard)

    listening = asyncio.create_task(listen())
    await eventually_async(is_heard, what="heard")
    listening.cancel()
    await asyncio.wait([listening])
    assert set(heard) == {Notice(notices.EVENTS)}


async def test_silence_is_no_failure(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "LISTEN_SECONDS", 0.02)
    async with listening(client) as heard:
        for _ in range(3):
            await asyncio.wait([asyncio.create_task(client.ping()) for _ in range(20)])
        await notices.publish(client, PAUSES)
        await counted(heard, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"pauses"',
        b'{"v": 2, "about": "pauses"}',
        b'{"v": 1, "about": "weather"}',
        b'{"v": 1, "about": ["pauses"]}',
        b'{"v": 1, "about": "cancelled"}',
        b'{"v": 1, "about": "cancelled", "job": "7"}',
        b'{"v": 1, "about": "cancelled", "job": 0}',
        b'{"v": 1, "about": "pauses", "more": 1}',
        b"\xff",
    ],
)
async def test_a_notice_of_an_unknown_form_is_passed_over(client: Client, data: bytes) -> None:
    async with listening(client) as heard:
        await client.publish(notices.CHANNEL, data)
        await notices.publish(client, PAUSES)
        await counted(heard, 1)
        assert heard == [[PAUSES]]


async def test_a_listener_lets_go_of_its_connection(client: Client) -> None:
    async with listening(client):
        pass
    await eventually_async(lambda: _listeners(client, 0), what="nobody listens")


async def test_a_connection_that_breaks_is_reported(client: Client) -> None:
    task = asyncio.create_task(_listen(client, []))
    await eventually_async(lambda: _listeners(client, 1), what="it listens")
    await client.client_kill_filter(_type="pubsub")
    with pytest.raises(BrokerError):
        await task
