"""The feed of all jobs' events; a commit of any process wakes its readers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import structlog

from broker import notices
from broker.envelopes import BrokerError, Client
from broker.event_notices import EventNotices
from db import events
from db.engine import Engine
from db.events import EventOfAll, EventPlace, EventsRead
from runtime.retrying import retry

LOOK_SECONDS = 1.0
"""The interval at which readers look without a notice: it may be lost, and delayed events have none."""
RETRY_DELAY_SECONDS = 0.5
PAGE = 200

log = structlog.stdlib.get_logger()


class EventSignal:
    """Wakes the readers of this process when events are committed: by `note` in this process, by notices in others."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._notices = EventNotices(redis)
        self._next = asyncio.Event()

    def note(self) -> None:
        """Wake the readers of every process; call it in the event loop, after a commit."""
        self._wake()
        self._notices.note()

    def next(self) -> asyncio.Event:
        """Return the event that the next commit sets. Take it before reading, so that no commit is missed."""
        return self._next

    async def listen(self) -> None:
        """Wake the readers at each notice until cancelled; while Redis is unavailable they look each second."""
        while True:
            await retry(
                self._listen, on=(BrokerError,), delay_seconds=RETRY_DELAY_SECONDS, log_delay=lambda _: self._wake()
            )

    async def aclose(self) -> None:
        """End publishing."""
        await self._notices.aclose()

    async def _listen(self) -> None:
        async with aclosing(notices.listen(self._redis, (notices.EVENTS,))) as received:
            async for _ in received:
                self._wake()

    def _wake(self) -> None:
        woken, self._next = self._next, asyncio.Event()
        woken.set()


async def read_events(engine: Engine, tenant_no: int, place: EventPlace, *, limit: int) -> EventsRead:
    """Read the tenant's next events after `place`; log each session that was ended since it held events back."""
    found = await events.read_events_after(engine, tenant_no, place, limit=limit)
    for name in found.ended_sessions:
        log.warning("event_writer_ended", session=name, seconds=events.HOLD_SECONDS)
    return found


async def follow_events(
    engine: Engine, signal: EventSignal, tenant_no: int, place: EventPlace
) -> AsyncGenerator[Sequence[EventOfAll], None]:
    """Yield the tenant's events after `place` as they are committed, in groups, without an end."""
    while True:
        committed = signal.next()
        found = await read_events(engine, tenant_no, place, limit=PAGE)
        place = found.place
        if found.events:
            yield found.events
        if not found.has_more:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await committed.wait()
