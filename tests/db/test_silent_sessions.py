"""Sessions whose other end went silent are found by a sign of life, and no slow statement is taken for one of them."""

import asyncio
import time

import pytest
from sqlmodel import select

from db import sessions
from db.engine import UNAVAILABLE, Connection, Engine, connect, create_engine, in_transaction
from db.reading import read_all
from tests.support.gateway import gateway_to
from tests.support.waiting import eventually_async

LOCK_WAITS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'
"""


async def pid_of(engine: Engine, query: str = "SELECT pg_backend_pid()") -> int:
    async with connect(engine) as connection:
        pid: int = await connection.fetchval(query)
        return pid


async def test_idle_connections_that_a_nat_forgot_are_all_replaced_for_the_price_of_one(
    database_url: str, monkeypatch
) -> None:
    """New connections work, and nothing reports that the old ones don't."""
    monkeypatch.setattr(sessions, "IDLE_CHECK_SECONDS", 0)
    async with gateway_to(database_url) as gateway:
        engine = create_engine(gateway.url, size=4)
        slow = "SELECT pg_backend_pid() FROM pg_sleep(0.1)"
        before = await asyncio.gather(*(pid_of(engine, slow) for _ in range(4)))
        gateway.fall_silent()
        gateway.heal()
        began = time.monotonic()
        after = [await pid_of(engine)]
        await read_all(engine, select(1))
        after += await asyncio.gather(*(pid_of(engine, slow) for _ in range(4)))
        assert time.monotonic() - began < 2 * sessions.ANSWER_SECONDS
        assert not set(before) & set(after)
        await engine.dispose()


async def test_a_statement_without_an_answer_is_given_up_once_another_one_found_the_silence(
    database_url: str, monkeypatch
) -> None:
    """It has a limit of a minute, and a pool of its own."""
    monkeypatch.setattr(sessions, "STUCK_SECONDS", 0.7)
    async with gateway_to(database_url) as gateway:
        quick, slow = create_engine(gateway.url, size=1), create_engine(gateway.url, size=1)
        await asyncio.gather(pid_of(quick), pid_of(slow))
        gateway.fall_silent()
        waiting = asyncio.create_task(pid_of(slow))
        with pytest.raises(UNAVAILABLE):
            async with connect(quick, seconds=0.5) as connection:
                await connection.execute("SELECT 1")
        gateway.heal()
        await asyncio.wait({waiting}, timeout=10)
        assert waiting.done(), "it still waits"
        assert isinstance(waiting.exception(), UNAVAILABLE)
        for engine in (quick, slow):
            assert await pid_of(engine)
            await engine.dispose()


async def lock_in_line(engine: Engine, number: int, line: asyncio.Barrier, silence: asyncio.Event) -> None:
    """Hold a lock, and ask for the lock of the one before in a line; the first says something after the silence."""

    async with connect(engine) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", number)
        await line.wait()
        if number == 0:
            await silence.wait()
        await connection.execute("SELECT pg_advisory_xact_lock($1)", max(0, number - 1))


async def test_sessions_that_wait_for_locks_of_silent_ones_are_found_soon_one_after_the_other(
    database_url: str, connection: Connection, monkeypatch
) -> None:
    """Each gets its lock when the one before is ended; that answer is lost too."""
    monkeypatch.setattr(sessions, "STUCK_SECONDS", 0.5)
    async with gateway_to(database_url) as gateway:
        quick, slow = create_engine(gateway.url, size=1), create_engine(gateway.url, size=5)
        await pid_of(quick)
        line, silence = asyncio.Barrier(5), asyncio.Event()
        waiting = {asyncio.create_task(lock_in_line(slow, number, line, silence)) for number in range(5)}

        async def all_but_one_wait() -> bool:
            return await connection.fetchval(LOCK_WAITS) == 4

        await eventually_async(all_but_one_wait)
        gateway.fall_silent()
        silence.set()
        with pytest.raises(UNAVAILABLE):
            async with connect(quick, seconds=0.5) as session:
                await session.execute("SELECT 1")
        gateway.heal()
        began = time.monotonic()
        await asyncio.wait(waiting, timeout=20)
        assert all(isinstance(task.exception(), UNAVAILABLE) for task in waiting)
        assert time.monotonic() - began < 8
        await asyncio.gather(quick.dispose(), slow.dispose())


async def test_a_slow_statement_goes_on_while_another_connection_is_found_silent(
    database_url: str, connection, monkeypatch
) -> None:
    monkeypatch.setattr(sessions, "STUCK_SECONDS", 0.7)
    engine = create_engine(database_url, size=2)
    sleeping = asyncio.create_task(pid_of(engine, "SELECT pg_backend_pid() FROM pg_sleep(1.5)"))
    with pytest.raises(UNAVAILABLE):
        async with connect(engine, seconds=0.5) as lent:
            await lent.execute("SELECT pg_sleep(60)")
    assert await sleeping
    await engine.dispose()


async def test_a_process_ends_at_once_though_its_connections_are_silent(database_url: str) -> None:
    async with gateway_to(database_url) as gateway:
        engine = create_engine(gateway.url, size=8)
        await asyncio.gather(*(pid_of(engine, "SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(8)))
        gateway.fall_silent()
        await asyncio.wait_for(engine.dispose(), 3)


async def test_a_cancelled_statement_leaves_no_connection_in_an_unknown_state(database_url: str, connection) -> None:
    engine = create_engine(database_url, size=1, name="cancelled")
    slow = asyncio.create_task(pid_of(engine, "SELECT pg_backend_pid() FROM pg_sleep(60)"))

    async def runs() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    await eventually_async(runs)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert await pid_of(engine)
    await engine.dispose()


async def test_a_silence_in_the_midst_of_a_transaction_costs_one_limit_and_not_another_for_its_rollback(
    database_url: str,
) -> None:
    async with gateway_to(database_url) as gateway:
        engine = create_engine(gateway.url, size=1)

        async def unit(connection: Connection) -> None:
            await connection.execute("SELECT 1")
            gateway.fall_silent()
            await connection.execute("SELECT 1")

        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await in_transaction(engine, unit, seconds=1)
        assert time.monotonic() - began < 1.8
        await engine.dispose()
