"""Leadership: one leader at a time, replaced once its lease ran out; writes of a former leader change nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from db import leadership
from db.engine import UNAVAILABLE, Connection, Engine, connect, create_engine, in_transaction
from db.leadership import RECONCILING, Leadership, as_leader, lead, read_leader
from tests.support.waiting import eventually_async

PASSED = "UPDATE leaders SET lease_until = now() - interval '1 ms'"
LOCKS = """
SELECT count(*)
FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
IDLE = """
SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()
"""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=10)
    yield engine
    await engine.dispose()


async def taken(engine: Engine, worker_no: int) -> Leadership:
    found = await lead(engine, RECONCILING, worker_no, lease_seconds=60)
    assert found is not None
    return found


async def write(connection: Connection) -> bool:
    await connection.execute("INSERT INTO tenants (name) VALUES ('written')")
    return True


async def written(connection: Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM tenants WHERE name = 'written'")
    return count


async def test_of_many_that_want_to_lead_one_does(engine: Engine) -> None:
    found = await asyncio.gather(*(lead(engine, RECONCILING, n, lease_seconds=60) for n in range(1, 31)))
    (leader,) = [leadership for leadership in found if leadership is not None]
    assert leader.fence == 1


async def test_a_leader_is_followed_once_its_lease_ran_out(engine: Engine, connection: Connection) -> None:
    first = await taken(engine, 1)
    assert await lead(engine, RECONCILING, 2, lease_seconds=60) is None
    assert await taken(engine, 1) == first
    await connection.execute(PASSED)
    found = await asyncio.gather(*(lead(engine, RECONCILING, n, lease_seconds=60) for n in range(2, 12)))
    (second,) = [leadership for leadership in found if leadership is not None]
    assert second.fence == first.fence + 1
    assert await lead(engine, RECONCILING, 1, lease_seconds=60) is None


async def test_a_leader_that_stops_is_followed_at_once(engine: Engine) -> None:
    first = await taken(engine, 1)
    await in_transaction(engine, lambda c: leadership.release(c, 2))
    assert await lead(engine, RECONCILING, 2, lease_seconds=60) is None
    await in_transaction(engine, lambda c: leadership.release(c, 1))
    assert (await taken(engine, 2)).fence == first.fence + 1


async def test_a_write_of_a_former_leader_changes_nothing(engine: Engine, connection: Connection) -> None:
    first = await taken(engine, 1)
    await connection.execute(PASSED)
    await taken(engine, 2)
    assert await as_leader(engine, first, write) is None
    assert await written(connection) == 0


async def test_nor_does_it_once_the_same_worker_was_followed_and_leads_again(
    engine: Engine, connection: Connection
) -> None:
    first = await taken(engine, 1)
    for worker_no in (2, 1):
        await connection.execute(PASSED)
        again = await taken(engine, worker_no)
    assert await as_leader(engine, first, write) is None
    assert await written(connection) == 0
    assert await as_leader(engine, again, write)
    assert await written(connection) == 1


async def test_a_lease_that_ran_out_and_that_no_other_worker_took_still_writes(
    engine: Engine, connection: Connection
) -> None:
    first = await taken(engine, 1)
    await connection.execute(PASSED)
    assert await as_leader(engine, first, write)
    assert await lead(engine, RECONCILING, 2, lease_seconds=60) is None


async def test_no_other_worker_takes_over_between_a_leaders_look_at_its_fence_and_its_commit(
    engine: Engine, connection: Connection
) -> None:
    """Who would lead meanwhile doesn't wait either: it comes again."""
    first = await taken(engine, 1)
    await connection.execute(PASSED)

    async def slow(inside: Connection) -> bool:
        async with asyncio.timeout(5):
            found = await lead(engine, RECONCILING, 2, lease_seconds=60)
        return found is None and await write(inside)

    short = Leadership(RECONCILING, first.fence, lease_seconds=0)
    assert await as_leader(engine, short, slow)
    assert (await taken(engine, 2)).fence == first.fence + 1
    assert await as_leader(engine, short, write) is None
    assert await written(connection) == 1


async def test_leading_leaves_nothing_on_the_session(engine: Engine, connection: Connection) -> None:
    """Behind a pooler the session goes to another client, or stays idle for hours, with whatever it holds."""
    first = await taken(engine, 1)

    async def locks(_: Connection) -> int:
        count: int = await connection.fetchval(LOCKS)
        return count

    assert await as_leader(engine, first, locks) == 0
    async with connect(engine) as borrowed:
        assert await borrowed.fetchval("SHOW idle_session_timeout") == "0"


async def test_a_leader_that_stands_still_in_a_transaction_is_followed(
    database_url: str, connection: Connection
) -> None:
    still = create_engine(database_url, size=1, idle_seconds=1)
    other = create_engine(database_url, size=1)
    first = await taken(still, 1)
    await connection.execute(PASSED)
    followed = asyncio.Event()

    async def stand_still(_: Connection) -> bool:
        await followed.wait()
        return True

    standing = asyncio.create_task(as_leader(still, first, stand_still))

    async def follow() -> bool:
        return await lead(other, RECONCILING, 2, lease_seconds=60) is not None

    await eventually_async(lambda: connection.fetchval(IDLE), what="it holds the row")
    await eventually_async(follow, what="another leads")
    followed.set()
    with pytest.raises(UNAVAILABLE):
        await standing
    assert await as_leader(still, first, write) is None
    for engine in (still, other):
        await engine.dispose()


async def test_the_last_leader_can_be_read(engine: Engine, connection: Connection) -> None:
    assert await read_leader(connection, RECONCILING) is None
    await taken(engine, 1)
    await connection.execute("UPDATE leaders SET worked_at = now() - interval '90 s'")
    await connection.execute(PASSED)
    leader = await read_leader(connection, RECONCILING)
    assert leader is not None
    assert (leader.worker, leader.fence, leader.is_leading) == (None, 1, False)
    assert leader.idle_seconds == pytest.approx(90, abs=20)
