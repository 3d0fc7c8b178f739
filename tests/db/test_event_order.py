"""The order of all jobs' events: a reader never gets an event that comes before one it has seen, nor misses one."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import asyncpg
import pytest

from db import events
from db.engine import Connection, Engine
from db.events import BEFORE_ALL, EventOfAll, EventPlace, find_event_holder, read_events_after
from db.tenants import DEFAULT_TENANT_NO
from tests.support.connections import database_connections
from tests.support.controls import waits_for_a_lock
from tests.support.jobs import job_body, store_jobs
from tests.support.waiting import eventually_async

WRITE = """
UPDATE jobs SET last_event_no = last_event_no + 1
WHERE job_no = $1
RETURNING write_event(job_no, last_event_no, 'progressed', 'a test', '{}')
"""
WRITE_AS_BEFORE = """
WITH job AS (UPDATE jobs SET last_event_no = last_event_no + 1 WHERE job_no = $1 RETURNING job_no, last_event_no)
INSERT INTO events (job_no, event_no, type, at, source, data)
SELECT job_no, last_event_no, 'progressed', now(), 'the release before', '{}' FROM job
RETURNING event_no
"""
WRITTEN = "SELECT job_no, event_no FROM events"
Key = tuple[int, int]


@pytest.fixture
async def jobs(connection: Connection) -> Sequence[int]:
    """Five jobs without events."""
    return await store_jobs(connection, [job_body()] * 5)


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[Sequence[Connection]]:
    async with database_connections(database_url, count=6) as writers:
        yield writers


class Reader:
    """Reads on from where it is, and keeps what it saw."""

    def __init__(self, engine: Engine, place: EventPlace = BEFORE_ALL) -> None:
        self.engine = engine
        self.place = place
        self.seen: list[EventOfAll] = []

    async def look(self, *, limit: int = 7) -> list[Key]:
        """Read to the end of what can be read now; return the keys of what is new."""
        found: list[EventOfAll] = []
        while True:
            page = (await read_events_after(self.engine, DEFAULT_TENANT_NO, self.place, limit=limit)).events
            found += page
            self.place = page[-1].place if page else self.place
            if len(page) < limit:
                self.seen += found
                return keys(found)


def keys(found: Sequence[EventOfAll]) -> list[Key]:
    return [(event.place.job_no, event.place.event_no) for event in found]


async def write(writer: Connection, job_no: int) -> None:
    """Write an event of a job; of every other job as the release before does, which knows nothing of positions."""
    assert await writer.fetchval(WRITE if job_no % 2 else WRITE_AS_BEFORE, job_no)


async def assert_seen_in_order(reader: Reader, connection: Connection) -> None:
    """Everything was seen once, in the one order, and of each job by its numbers."""
    assert sorted(keys(reader.seen)) == sorted(tuple(row) for row in await connection.fetch(WRITTEN))
    assert all(event.place < other.place for event, other in pairwise(reader.seen))
    for job_no in {event.place.job_no for event in reader.seen}:
        numbers = [event.place.event_no for event in reader.seen if event.place.job_no == job_no]
        assert numbers == sorted(numbers)
    later = Reader(reader.engine)
    assert await later.look() == keys(reader.seen)


@pytest.mark.parametrize("seed", range(10))
async def test_commits_in_any_order_are_read_in_one(
    engine: Engine, connection: Connection, writers: Sequence[Connection], jobs: Sequence[int], seed: int
) -> None:
    """Six sessions, each with a job of its own or none, write, commit and roll back in an order that is drawn."""
    draw = random.Random(seed)
    reader = Reader(engine)
    open_by_writer: dict[Connection, tuple[asyncpg.transaction.Transaction, int]] = {}
    for _ in range(120):
        writer = draw.choice(writers)
        step = draw.random()
        if step < 0.3:
            await reader.look()
        elif writer in open_by_writer and step < 0.65:
            transaction, _ = open_by_writer.pop(writer)
            await (transaction.rollback() if draw.random() < 0.2 else transaction.commit())
        elif free := set(jobs) - {job_no for _, job_no in open_by_writer.values()} or writer in open_by_writer:
            if writer not in open_by_writer:
                open_by_writer[writer] = (writer.transaction(), draw.choice(sorted(free)))
                await open_by_writer[writer][0].start()
            await write(writer, open_by_writer[writer][1])
    for transaction, _ in open_by_writer.values():
        await transaction.commit()
    await reader.look()
    assert len(reader.seen) > 20
    await assert_seen_in_order(reader, connection)


async def test_writers_side_by_side_lose_no_event_and_let_none_come_late(
    engine: Engine, connection: Connection, writers: Sequence[Connection], jobs: Sequence[int]
) -> None:
    async def go(writer: Connection, draw: random.Random) -> None:
        for _ in range(60):
            async with writer.transaction():
                for job_no in sorted(draw.sample(jobs, draw.randint(1, 3))):
                    await write(writer, job_no)
                    await writer.execute("SELECT pg_sleep($1)", draw.choice((0, 0, 0.004)))

    reader = Reader(engine)
    writing = asyncio.gather(*(go(writer, random.Random(n)) for n, writer in enumerate(writers)))
    while not writing.done():
        await reader.look()
    await writing
    await reader.look()
    await assert_seen_in_order(reader, connection)


async def test_a_transaction_that_began_first_and_waited_for_a_job_comes_after_its_holder(
    engine: Engine, connection: Connection, writers: Sequence[Connection], jobs: Sequence[int]
) -> None:
    first, second = writers[:2]
    reader = Reader(engine)
    begun = second.transaction()
    await begun.start()
    await write(second, jobs[0])
    async with first.transaction():
        await write(first, jobs[1])
        waiting = asyncio.create_task(write(second, jobs[1]))
        await waits_for_a_lock(connection, waiting)
    await waiting
    assert await reader.look() == []
    await begun.commit()
    assert await reader.look() == [(jobs[0], 1), (jobs[1], 1), (jobs[1], 2)]


async def test_an_event_after_a_savepoint_that_was_left_is_announced_again(
    engine: Engine, writers: Sequence[Connection], jobs: Sequence[int]
) -> None:
    first, second = writers[:2]
    reader = Reader(engine)
    async with first.transaction():
        savepoint = first.transaction()
        await savepoint.start()
        await write(first, jobs[0])
        await savepoint.rollback()
        await write(first, jobs[0])
        await write(second, jobs[1])
        assert await reader.look() == []
    assert await reader.look() == [(jobs[0], 1), (jobs[1], 1)]


async def test_events_from_before_there_were_positions_come_first(
    engine: Engine, connection: Connection, jobs: Sequence[int]
) -> None:
    for job_no in jobs:
        await write(connection, job_no)
        await write(connection, job_no)
    await connection.execute("UPDATE events SET position = NULL WHERE job_no < $1", jobs[3])
    await connection.execute(
        f"CREATE OR REPLACE FUNCTION last_job_before_positions() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN {jobs[4]}"
    )
    await write(connection, jobs[0])
    reader = Reader(engine)
    assert await reader.look(limit=3) == [(job_no, number) for job_no in jobs for number in (1, 2)] + [(jobs[0], 3)]


async def test_a_writer_that_stays_open_is_named_and_holds_readers_back_for_the_bound_only(
    engine: Engine,
    connection: Connection,
    database_url: str,
    jobs: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(engine)
    async with database_connections(database_url, application_name="worker-that-hangs") as (late,):
        assert await find_event_holder(connection) is None
        begun = late.transaction()
        await begun.start()
        await write(late, jobs[0])
        assert await find_event_holder(connection) is None  # nobody waits for it
        await write(connection, jobs[1])
        holder = await find_event_holder(connection)
        assert holder is not None
        assert (holder.session, holder.pid, holder.prepared) == ("worker-that-hangs", late.get_server_pid(), None)
        assert await reader.look() == []
        assert 0 < holder.behind_seconds <= holder.open_seconds < events.HOLD_SECONDS
        monkeypatch.setattr(events, "HOLD_SECONDS", 0.3)
        assert await eventually_async(reader.look, what="it is ended") == [(jobs[1], 1)]
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await begun.commit()
    assert await find_event_holder(connection) is None


async def test_other_open_transactions_of_the_cluster_hold_back_no_reader(
    engine: Engine, connection: Connection, writers: Sequence[Connection], jobs: Sequence[int]
) -> None:
    """A dump, which keeps a snapshot, and a session that writes for long, but no events."""
    dump, writer, *_ = writers
    async with dump.transaction(isolation="repeatable_read"), writer.transaction():
        await dump.fetch(WRITTEN)
        await writer.execute("INSERT INTO tenants (name) VALUES ('another')")
        await write(connection, jobs[0])
        assert await Reader(engine).look() == [(jobs[0], 1)]


async def test_of_sessions_that_stay_open_only_those_that_others_wait_for_are_ended(
    engine: Engine,
    connection: Connection,
    writers: Sequence[Connection],
    jobs: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "HOLD_SECONDS", 0)
    first, second = writers[:2]
    await write(connection, jobs[0])
    async with first.transaction(), second.transaction():
        await write(first, jobs[1])
        await second.execute("INSERT INTO tenants (name) VALUES ('another')")
        page = await read_events_after(engine, DEFAULT_TENANT_NO, BEFORE_ALL, limit=7)
        assert (keys(page.events), page.ended_sessions) == ([(jobs[0], 1)], [])
