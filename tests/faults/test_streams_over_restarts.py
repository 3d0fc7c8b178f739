"""Many streams are open while an API is stopped and killed, and writers commit out of order, one of them late.

Each client gets each event once, in the order that every other client sees.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import httpx2
import pytest

from tests.support.event_streams import parse
from tests.support.job_seeds import Seeds
from tests.support.service import Process
from tests.support.waiting import eventually_async

WRITERS = 8
ROUNDS = 8
HELD_OPEN = range(2, 5)
"""The rounds during which the transaction of the first writer stays open."""
WRITE = """
UPDATE jobs SET last_event_no = last_event_no + 1
WHERE job_no = $1
RETURNING write_event(job_no, last_event_no, 'progressed', 'a test', '{}')
"""
IN_ORDER = "SELECT job_no, event_no FROM events ORDER BY position"
SECONDS = 60


@dataclass
class Apis:
    """The API that serves now, after any number of others."""

    start: Callable[[], Process]
    now: Process = field(init=False)
    ended: int = 0

    def __post_init__(self) -> None:
        self.now = self.start()

    async def follow_by_another(self, *, killed: bool) -> None:
        """End the API, by force or not, and start another one."""
        await asyncio.to_thread(self.now.kill if killed else self.now.stop)
        self.ended += 1
        self.now = await asyncio.to_thread(self.start)


@dataclass
class Reader:
    """A client that connects again after each break, and goes on after the last event that it got."""

    path: str
    expected: int
    ids: list[str] = field(default_factory=list)
    seen: list[tuple[str, int]] = field(default_factory=list)
    connections: int = 0

    async def read(self, http: httpx2.AsyncClient, apis: Apis) -> None:
        """Read until all that is expected was read, and whatever came with the last of it."""
        await eventually_async(lambda: self._read_on(http, apis), seconds=SECONDS, what=f"all of {self.path}")

    async def _read_on(self, http: httpx2.AsyncClient, apis: Apis) -> bool:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.ids[-1]} if self.ids else {})
        try:
            async with http.stream("GET", apis.now.url + self.path, headers=headers, timeout=SECONDS) as answer:
                assert answer.status_code == 200, await answer.aread()
                self.connections += 1
                async for sent in parse(answer.aiter_lines()):
                    self.ids.append(sent.id)
                    self.seen.append((sent.item.get("job_id", ""), sent.item.get("event_no", sent.item.get("id"))))
                    if len(self.ids) >= self.expected:
                        return True
        except httpx2.TransportError:  # the API is being ended, or isn't there yet
            pass
        return False


class Writers:
    """Eight sessions that each write an event of a job of their own, and commit in another order than they wrote in."""

    def __init__(self, sessions: list["asyncpg.Connection[asyncpg.Record]"], job_nos: list[int]) -> None:
        self._sessions = sessions
        self._job_nos = job_nos
        self._draw = random.Random(14)
        self._held: asyncpg.transaction.Transaction | None = None

    async def write_round(self, number: int) -> None:
        """Let each write an event that isn't committed yet; then commit all but the one that is held open."""
        begun = []
        for session, job_no in zip(self._sessions, self._job_nos, strict=True):
            if session is self._sessions[0] and self._held is not None:
                continue
            transaction = session.transaction()
            await transaction.start()
            await session.execute(WRITE, job_no)
            if session is self._sessions[0] and number == HELD_OPEN.start:
                self._held = transaction
            else:
                begun.append(transaction)
        self._draw.shuffle(begun)
        for transaction in begun:
            await transaction.commit()
        if self._held is not None and number == HELD_OPEN[-1]:
            await self._held.commit()
            self._held = None


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[list["asyncpg.Connection[asyncpg.Record]"]]:
    """A connection for each writer."""
    async with AsyncExitStack() as opened:
        connections = [await asyncpg.connect(database_url) for _ in range(WRITERS)]
        for connection in connections:
            opened.push_async_callback(connection.close)
        yield connections


@pytest.mark.parametrize("streams", [24, pytest.param(200, marks=pytest.mark.long)])
async def test_each_stream_has_each_event_once_and_in_order(
    *,
    streams: int,
    start_api: Callable[..., Process],
    database_url: str,
    redis_url: str,
    seeds: Seeds,
    sessions: list["asyncpg.Connection[asyncpg.Record]"],
) -> None:
    jobs = [await seeds.submit(questions=[f"{n}?"]) for n in range(WRITERS)]
    apis = Apis(lambda: start_api(database_url, redis_url))
    writers = Writers(sessions, [job.job_no for job in jobs])
    in_all = WRITERS * ROUNDS - len(HELD_OPEN) + 1
    of_all = [Reader("/events", in_all) for _ in range(streams // 2)]
    of_jobs = [Reader(f"/jobs/{jobs[1 + n % 7].id}/events", ROUNDS) for n in range(streams - len(of_all))]
    readers = [*of_all, *of_jobs]
    async with (
        httpx2.AsyncClient(limits=httpx2.Limits(), verify=False) as http,
        asyncio.timeout(2 * SECONDS),
        asyncio.TaskGroup() as tasks,
    ):
        for reader in readers:
            tasks.create_task(reader.read(http, apis))

        async def all_are_connected() -> bool:
            return all(reader.connections > apis.ended for reader in readers)

        for number in range(ROUNDS):
            if number in {HELD_OPEN[1], HELD_OPEN.stop}:  # while one is held open, and after it
                await apis.follow_by_another(killed=number == HELD_OPEN.stop)
            await eventually_async(all_are_connected, seconds=SECONDS)
            await writers.write_round(number)
    written = await sessions[0].fetch(IN_ORDER)
    ids = {job.job_no: job.id for job in jobs}
    in_order = [(ids[row["job_no"]], row["event_no"]) for row in written]
    assert len(in_order) == in_all
    assert {tuple(reader.seen) for reader in of_all} == {tuple(in_order)}
    assert len({tuple(reader.ids) for reader in of_all}) == 1
    assert {tuple(reader.ids) for reader in of_jobs} == {tuple(str(n) for n in range(1, ROUNDS + 1))}
    assert apis.ended == 2
