"""Migrating: many at once, under limits meant for requests, and over a session that outlives its client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from db import migrate
from db.migrate import MIGRATION_LOCK, upgrade
from tests.sources_away import Gateway
from tests.waiting import eventually_async

TERMINATE = b"X\x00\x00\x00\x04"
LIMITS = ("lock_timeout = '100ms'", "statement_timeout = '300ms'", "idle_in_transaction_session_timeout = '5s'")
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"


class KeepsSessions(Gateway):
    """Keeps the server's session when its client leaves, as a pooler does; `shut` ends it."""

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await self._connect()
        self._writers |= {writer, back}
        answers = asyncio.create_task(_copy(there, writer))
        with suppress(ConnectionError):
            while not (content := await reader.read(65_536)).endswith(TERMINATE) and content:
                back.write(content)
        writer.close()
        await answers


async def _copy(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await there.read(65_536):
            writer.write(content)


@pytest.fixture
async def pooled(empty_database_url: str) -> AsyncIterator[str]:
    """The URL of an empty database behind such a pooler."""
    gateway = KeepsSessions(empty_database_url)
    server = await gateway.serve()
    yield gateway.url.partition("?")[0]
    gateway.shut()
    server.close()


async def migrated(database_url: str) -> None:
    async with asyncio.timeout(10):
        await asyncio.to_thread(upgrade, database_url)


async def revision(database_url: str) -> str | None:
    connection = await asyncpg.connect(database_url)
    try:
        return await migrate.current(connection)
    finally:
        await connection.close()


async def test_many_that_migrate_at_once_all_end_at_the_newest(empty_database_url: str) -> None:
    await asyncio.gather(*(migrated(empty_database_url) for _ in range(4)))
    assert await revision(empty_database_url) == migrate.head()


async def test_a_session_that_outlives_its_migration_holds_up_no_other(pooled: str, empty_database_url: str) -> None:
    await migrated(pooled)
    await migrated(empty_database_url)
    assert await revision(empty_database_url) == migrate.head()


async def test_limits_for_requests_end_no_migration_and_no_wait_for_one(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    other = await asyncpg.connect(empty_database_url)
    for limit in LIMITS:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET {limit}")
    lock = connection.transaction()
    await lock.start()
    await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
    migrating = asyncio.create_task(migrated(empty_database_url))
    await eventually_async(lambda: other.fetchval(WAITS), what="it waits for who migrates")
    began = await other.fetchval("SELECT clock_timestamp()")
    passed = "SELECT clock_timestamp() > $1::timestamptz + interval '500 ms'"
    await eventually_async(lambda: other.fetchval(passed, began), what="longer than the limits allow")
    await lock.rollback()
    await migrating
    assert await revision(empty_database_url) == migrate.head()
    for one in (connection, other):
        await one.close()
