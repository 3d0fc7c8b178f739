"""The bucket of a key's requests: it holds a second's worth, gains by time, and gives to many at once what it has."""

import asyncio

import asyncpg
import pytest

from db.engine import Connection
from db.key_requests import Taken, take_requests
from tests.support.access import make_key
from tests.support.connections import database_connections

AGE = "UPDATE key_requests SET spent_until = spent_until - $1::float8 * interval '1 second'"


@pytest.fixture
async def key_no(connection: Connection) -> int:
    key = await make_key(connection)
    found: int = await connection.fetchval("SELECT key_no FROM api_keys WHERE id = $1", key.split("_")[1])
    return found


async def take(connection: Connection, key_no: int, wanted: int, *, per_second: int) -> Taken:
    return await take_requests(connection, key_no, per_second=per_second, wanted=wanted)


async def test_a_new_bucket_has_a_seconds_worth(connection: Connection, key_no: int) -> None:
    taken = await take(connection, key_no, 9, per_second=5)
    assert (taken.requests, taken.left) == (5, 0)
    assert 0 < taken.next_seconds <= 0.2


async def test_a_bucket_gains_by_time_up_to_a_seconds_worth(connection: Connection, key_no: int) -> None:
    await take(connection, key_no, 4, per_second=4)
    await connection.execute(AGE, 0.5)
    assert 2 <= (await take(connection, key_no, 4, per_second=4)).requests <= 4
    await connection.execute(AGE, 3600)
    taken = await take(connection, key_no, 1, per_second=4)
    assert (taken.requests, taken.left) == (1, 3)


async def test_a_clock_that_was_set_back_leaves_no_debt(connection: Connection, key_no: int) -> None:
    await take(connection, key_no, 1, per_second=1)
    await connection.execute(AGE, -3600)
    assert (await take(connection, key_no, 1, per_second=1)).requests == 0
    ahead = await connection.fetchval("SELECT extract(EPOCH FROM spent_until - clock_timestamp()) FROM key_requests")
    assert ahead <= 0


async def test_many_that_take_at_once_get_together_what_there_is(
    database_url: str, connection: Connection, key_no: int
) -> None:
    per_second = 100
    async with database_connections(database_url, 8) as sessions:
        began = await connection.fetchval("SELECT clock_timestamp()")

        async def drain(session: "asyncpg.Connection[asyncpg.Record]") -> int:
            return sum([(await take(session, key_no, 7, per_second=per_second)).requests for _ in range(20)])

        taken = sum(await asyncio.gather(*map(drain, sessions)))
        seconds = await connection.fetchval("SELECT extract(EPOCH FROM clock_timestamp() - $1)::float8", began)
    assert per_second - 7 < taken <= per_second * (1 + seconds)


async def test_nobody_waits_for_the_disk(connection: Connection, key_no: int) -> None:
    kind = await connection.fetchval("SELECT relpersistence FROM pg_class WHERE relname = 'key_requests'")
    assert kind == b"u"
