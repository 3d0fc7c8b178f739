"""The pool: a session that the server ended is replaced or UNAVAILABLE, and a conflict repeats the whole unit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.array_types import ARRAY_TYPES
from db.coordination import PlanRefused
from db.engine import RETRIES, UNAVAILABLE, Connection, Engine, connect, create_engine, in_transaction
from db.import_results import LeasesLost
from db.reading import read, snapshot
from db.record_writing import DuplicateKeys
from domain.errors import NotFound
from tests.support.waiting import eventually_async

END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pooled'"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=2, name="pooled")
    yield engine
    await engine.dispose()


async def one(connection: Connection) -> int:
    found: int = await connection.fetchval("SELECT 1")
    return found


async def test_connections_that_ended_in_the_pool_are_replaced(engine, connection) -> None:
    async with connect(engine) as first, connect(engine) as second:
        assert await one(first) == await one(second) == 1
    await connection.execute(END_OTHERS)

    async def both_are_closed() -> bool:
        return first.is_closed() and second.is_closed()

    await eventually_async(both_are_closed, what="the driver heard of both ends")
    for _ in range(3):
        assert await in_transaction(engine, one) == 1


async def test_a_session_that_ends_during_a_statement_is_gone(engine, connection) -> None:
    slow = asyncio.create_task(in_transaction(engine, lambda c: c.execute("SELECT pg_sleep(60)")))

    async def sleeps() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    await eventually_async(sleeps, what="the statement runs")
    await connection.execute(END_OTHERS)
    with pytest.raises(UNAVAILABLE):
        await slow
    assert await in_transaction(engine, one) == 1


async def test_a_server_that_is_not_there_is_gone() -> None:
    engine = create_engine("postgresql://nobody@/nothing?host=/nowhere")
    with pytest.raises(UNAVAILABLE):
        await in_transaction(engine, one)
    await engine.dispose()


async def test_an_exhausted_pool_is_gone_for_now(database_url: str, monkeypatch) -> None:
    engine = create_engine(database_url, size=1)
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    async with connect(engine):
        with pytest.raises(UNAVAILABLE):
            await in_transaction(engine, one)
    assert await in_transaction(engine, one) == 1
    await engine.dispose()


async def test_a_unit_that_meets_conflicts_is_repeated_whole(engine) -> None:
    tries = 0

    async def unit(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        await connection.execute("CREATE TEMP TABLE kept (n int)")
        if tries <= RETRIES:
            raise asyncpg.DeadlockDetectedError("met")
        return tries

    assert await in_transaction(engine, unit) == RETRIES + 1


async def test_a_refusal_leaves_the_connection_sound(engine) -> None:
    async with connect(engine) as connection:
        pid = connection.get_server_pid()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await in_transaction(engine, lambda c: c.execute("SELECT 1 / 0"))
    async with connect(engine) as connection:
        assert connection.get_server_pid() == pid


OURS = [
    NotFound("Nothing."),
    DuplicateKeys({(1, 1): {"k"}}),
    LeasesLost(),
    PlanRefused(1, "it doesn't fit"),
    KeyError("a bug of ours"),
]


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
async def test_an_error_of_ours_gives_its_connection_back(engine: Engine, error: Exception) -> None:
    async def fail(connection: Connection) -> None:
        await one(connection)
        raise error

    async with connect(engine) as lent:
        pid = lent.get_server_pid()
    for attempt in (
        lambda: in_transaction(engine, fail),
        lambda: within(connect(engine), fail),
        lambda: within(snapshot(engine), fail),
    ):
        with pytest.raises(type(error)):
            await attempt()
    with pytest.raises(type(error)):
        await fail_reading(engine, error)
    async with connect(engine) as lent:
        assert lent.get_server_pid() == pid
        assert not lent.is_in_transaction()


async def fail_reading(engine: Engine, error: Exception) -> None:
    async def fail_halfway(session: AsyncSession) -> None:
        await session.exec(select(1))
        raise error

    await read(engine, fail_halfway)


async def within(borrowed: AbstractAsyncContextManager[Connection], unit: Callable[[Connection], Any]) -> None:
    async with borrowed as connection:
        await unit(connection)


async def begin_and_fail(connection: Connection) -> None:
    await connection.execute("BEGIN; CREATE TABLE half_done (n int)")
    raise NotFound("Nothing.")


async def fail_beside_a_statement(connection: Connection) -> None:
    async def fail() -> None:
        raise NotFound("Nothing.")

    async with asyncio.TaskGroup() as group:
        group.create_task(connection.execute("SELECT pg_sleep(60)"))
        group.create_task(fail())


@pytest.mark.parametrize("unit", [begin_and_fail, fail_beside_a_statement])
async def test_a_connection_in_the_midst_of_something_is_not_handed_on(engine: Engine, unit) -> None:
    async with connect(engine) as lent:
        pid = lent.get_server_pid()
    with pytest.raises((NotFound, ExceptionGroup)):
        await within(connect(engine), unit)
    async with connect(engine) as lent:
        assert lent.get_server_pid() != pid
        assert await lent.fetchval("SELECT to_regclass('half_done')") is None


ASKED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'WITH RECURSIVE typeinfo_tree%'"
"""How often the driver has asked about types on this session."""


async def test_sessions_know_the_arrays_of_statements(engine) -> None:
    moment = datetime(2026, 11, 30, tzinfo=UTC)
    values = {
        "boolean": [True, None],
        "bytea": [b"\x00", b""],
        "smallint": [1, None],
        "int": [2, -3],
        "bigint": [1 << 40],
        "float8": [0.5, -0.0],
        "timestamptz": [moment],
        "text": ["a,b", None],
    }
    async with connect(engine) as session:
        for name, value in values.items():
            assert await session.fetchval(f"SELECT $1::{name}[]", value) == value
        assert await session.fetchval(ASKED) == 0
        assert await session.fetchval("SELECT $1::numeric[]", [1]) == [1]
        assert await session.fetchval(ASKED) == 1


async def test_arrays_of_statements_are_those_of_the_server(connection) -> None:
    numbers = {each["oid"]: (each["name"], each["elemtype"], each["elemdelim"]) for each in ARRAY_TYPES.values()}
    rows = await connection.fetch(
        """
        SELECT a.oid, a.typname, a.typelem, e.typdelim
        FROM pg_type AS a
        JOIN pg_type AS e ON e.oid = a.typelem
        WHERE a.oid = ANY ($1::oid[])
        """,
        list(numbers),
    )
    assert {row["oid"]: (row["typname"], row["typelem"], row["typdelim"].decode()) for row in rows} == numbers
