"""Following a job to its end: its events as they are committed, and how far it is after them.

The stream of events says when to look, and goes on after the last event that was read. What is shown is always asked
for anew, so that nothing depends on an event that a connection lost.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from cli.remote.errors import CommandFailed, NotReached, Refused, Unavailable
from cli.remote.service import Service, job_path
from runtime.tasks import end_tasks

LOOK_SECONDS = 2.0
"""How often a look is due without an event: that a cell was begun isn't one."""
SHORTEST_SECONDS = 0.25
LOOKS_TO_PAUSES = 5
"""A look takes a fifth of the time at the most."""
AGAIN_SECONDS = 1.0
LAST_EVENTS_SECONDS = 5.0
"""For how long the last events of a job that has ended are awaited."""
MOST_WAVES = 200
MOST_ROWS = 1000
"""Models in a region that are asked for; no terminal shows more."""

Job = Mapping[str, Any]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """A job at one moment, with further `events`; `grid` has rows of cells by model and region, `waves` an import's."""

    job: Job
    grid: Sequence[Mapping[str, Any]]
    waves: Sequence[Mapping[str, Any]]
    events: Sequence[Event] = ()


class View(Protocol):
    """Shows what a follower sees; the cells and waves only if it `draws` them."""

    draws: bool

    def show(self, look: Look) -> None:
        """Show the job as it is."""

    def lose(self, reason: str) -> None:
        """Say that the service isn't reached now."""


class Follower:
    """Follows one job. `service` repeats no request: the follower looks again, until `give_up_seconds` were in vain."""

    def __init__(self, service: Service, job_id: str, view: View, *, give_up_seconds: float) -> None:
        self._service = service
        self._job_id = job_id
        self._view = view
        self._give_up_seconds = give_up_seconds
        self._events: list[Event] = []
        self._has_some = asyncio.Event()
        self._has_all = asyncio.Event()
        self._last_id: str | None = None
        self._failure: CommandFailed | None = None

    async def run(self) -> Job:
        """Show the job until it has ended; return it. Raises Refused or NotReached."""
        listening = asyncio.create_task(self._listen())
        try:
            return await self._look_on()
        finally:
            await end_tasks([listening])

    async def _look_on(self) -> Job:
        reached_at = time.monotonic()
        events: list[Event] = []
        while True:
            looked_at = time.monotonic()
            events += self._read_events()  # kept where the look is in vain
            try:
                look = await self._look()
            except Unavailable as error:
                if time.monotonic() - reached_at > self._give_up_seconds:
                    raise NotReached(f"{error} Nobody was reached for {self._give_up_seconds:g} s.") from None
                self._view.lose(str(error))
                await asyncio.sleep(max(AGAIN_SECONDS, error.retry_after_seconds or 0))
                continue
            reached_at = time.monotonic()
            if look.job["finished_at"] is not None:
                self._view.show(replace(look, events=[*events, *await self._last_events()]))
                return look.job
            self._view.show(replace(look, events=events))
            events = []
            await self._wait(looked_at, took=time.monotonic() - looked_at)

    async def _look(self) -> Look:
        if self._failure is not None:
            raise self._failure
        job = await self._service.get(job_path(self._job_id))
        if not self._view.draws:
            return Look(job, (), ())
        if job["kind"] == "import":
            waves = await self._service.items(job_path(self._job_id, "waves"), (), limit=MOST_WAVES)
            return Look(job, (), waves)
        try:
            grid = await self._service.items(job_path(self._job_id, "grid"), (), limit=MOST_ROWS)
        except Refused as error:
            if error.problem["code"] != "unknown_path":  # a service of an earlier release
                raise
            grid = []
        return Look(job, grid, ())

    async def _wait(self, looked_at: float, *, took: float) -> None:
        """Wait for an event, or until a look is due; a service that takes long for one is asked less often."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._has_some.wait()
        pause = max(SHORTEST_SECONDS, LOOKS_TO_PAUSES * took)
        await asyncio.sleep(max(0.0, looked_at + pause - time.monotonic()))

    async def _last_events(self) -> list[Event]:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_EVENTS_SECONDS):
                await self._has_all.wait()
        return self._read_events()

    def _read_events(self) -> list[Event]:
        self._has_some.clear()
        events, self._events = self._events, []
        return events

    async def _listen(self) -> None:
        """Read events into the queue until the job has no more, over breaks, each once and in order."""
        while self._failure is None:
            pause = AGAIN_SECONDS
            try:
                async with self._service.events(self._job_id, after=self._last_id) as source:
                    if source is None:
                        self._has_all.set()
                    else:
                        self._has_all.clear()
                        async for sent in source:
                            self._last_id = sent.id or self._last_id
                            if sent.data:
                                self._events.append(orjson.loads(sent.data))
                                self._has_some.set()
                        pause = 0.1  # it is over, or its process stops
            except Unavailable as error:
                pause = max(pause, error.retry_after_seconds or 0)
            except CommandFailed as error:  # a key that was revoked meanwhile
                self._failure = error
            await asyncio.sleep(pause)
