"""Feeds of events, of all jobs or of one; a commit of any process wakes their readers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Protocol, TypeVar

import structlog

from broker import notices
from broker.envelopes import BrokerError, Client
from broker.event_notices import EventNotices
from db import events
from db.engine import Engine
from db.events import EventOfAll, EventPlace, EventRead, EventsRead
from runtime.retrying import retry

LOOK_SECONDS = 1.0
"""The interval at which readers look without a notice: it may be lost, and delayed events have none."""
SHORTEST_SECONDS = 0.2
"""The interval at which a reader looks at the most, however many processes publish notices."""
RETRY_DELAY_SECONDS = 0.5
PAGE = 200
EventT_co = TypeVar("EventT_co", covariant=True)

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


class Feed(Protocol[EventT_co]):
    """Events that are read on and on. `has_more` may be read at once, `is_over` if there will be no more."""

    has_more: bool
    is_over: bool

    async def read(self) -> Sequence[EventT_co]:
        """Return the next committed events, none or several."""
        ...


class FeedOfAll:
    """The tenant's events of all jobs after a place."""

    is_over = False

    def __init__(self, engine: Engine, tenant_no: int, place: EventPlace) -> None:
        self._engine = engine
        self._tenant_no = tenant_no
        self._place = place
        self.has_more = False

    async def read(self) -> Sequence[EventOfAll]:
        """Return the next events."""
        found = await read_events(self._engine, self._tenant_no, self._place, limit=PAGE)
        self._place, self.has_more = found.place, found.has_more
        return found.events


class FeedOfJob:
    """The events of one job from above a number on; over after the last one of a job that has ended."""

    def __init__(self, engine: Engine, tenant_no: int, job_id: str, after: int) -> None:
        self._engine = engine
        self._tenant_no = tenant_no
        self._job_id = job_id
        self._after = after
        self.has_more = self.is_over = False

    async def read(self) -> Sequence[EventRead]:
        """Return the next events. Raises NotFound where there is no such job."""
        found, self.is_over = await events.read_events_of_job(
            self._engine, self._tenant_no, self._job_id, after=self._after, limit=PAGE
        )
        self.has_more = bool(found)
        if found:
            self._after = found[-1].event_no
        return found


async def follow(feed: Feed[EventT_co], signal: EventSignal) -> AsyncGenerator[Sequence[EventT_co], None]:
    """Yield the events of a feed as they are committed, and nothing at each look that finds none, until it is over."""
    while not feed.is_over:
        committed = signal.next()
        looked_at = time.monotonic()
        yield await feed.read()
        if not (feed.has_more or feed.is_over):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await committed.wait()
            await asyncio.sleep(looked_at + SHORTEST_SECONDS - time.monotonic())
