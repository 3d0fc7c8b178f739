"""Migrating: many at once, under limits meant for requests, and over a session that outlives its client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import migrate
from db.engine import Connection
from db.migrate import MIGRATION_LOCK, SESSION_NAME, upgrade
from db.schema import brought_revision, read_schema
from tests.support.connections import database_connections
from tests.support.engines import OwnEngines
from tests.support.gateway import Gateway
from tests.support.waiting import eventually_async

TERMINATE = b"X\x00\x00\x00\x04"
LIMITS = ("lock_timeout = '100ms'", "statement_timeout = '300ms'", "idle_in_transaction_session_timeout = '5s'")
LOOKS = """
SELECT query_start FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1 AND query ~ 'migration|advisory|ROLLBACK'
"""

BEFORE_GENERATIONS = """
INSERT INTO tenants (tenant_no, name) VALUES (1, 'default') ON CONFLICT DO NOTHING;
INSERT INTO record_sets (tenant_no, dataset, record_type, key)
VALUES (1, 'ledger', 'a', '{id}'), (1, 'ledger', 'b', '{id}');
INSERT INTO jobs (
    tenant_no, id, kind, name, spec_hash, status, turn, planned, min_success_rate, error_code, started_at, finished_at
)
SELECT 1, n.id, 'import', n.id, n.id, n.status, 0, 0, 1, CASE n.status WHEN 'failed' THEN 'wave_failed' END, now(),
    CASE WHEN n.status <> 'running' THEN now() END
FROM (VALUES ('third', 'running'), ('first', 'failed'), ('second', 'completed')) AS n (id, status);
INSERT INTO imports (job_no, fence, planned_at)
SELECT job_no, 1, timestamptz '2026-01-01' + CASE job_no WHEN 1 THEN 3 WHEN 2 THEN 1 ELSE 2 END * interval '1 hour'
FROM jobs;
INSERT INTO record_types (job_no, record_type_no, id, record_set_no, level, rows_expected, is_complete)
SELECT j.job_no, s.record_set_no, s.record_type, s.record_set_no, 0, 1, true
FROM jobs AS j
CROSS JOIN record_sets AS s
WHERE s.record_type = 'a' OR j.id = 'first';
"""


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


async def migrated_to(database_url: str, wanted: str) -> None:
    """Run the migrations up to this one, as the version did that brought it."""
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    while await revision(database_url) != wanted:
        await migrate._advance(engine)
    await engine.dispose()


async def revision(database_url: str) -> str | None:
    connection = await asyncpg.connect(database_url)
    try:
        return (await read_schema(connection)).revision
    finally:
        await connection.close()


async def test_many_that_migrate_at_once_all_end_at_the_newest(empty_database_url: str) -> None:
    await asyncio.gather(*(migrated(empty_database_url) for _ in range(4)))
    assert await revision(empty_database_url) == brought_revision()


async def test_a_session_that_outlives_its_migration_holds_up_no_other(pooled: str, empty_database_url: str) -> None:
    await migrated(pooled)
    await migrated(empty_database_url)
    assert await revision(empty_database_url) == brought_revision()


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
    await looked(other, times=1)
    began = await other.fetchval("SELECT clock_timestamp()")
    passed = "SELECT clock_timestamp() > $1::timestamptz + interval '500 ms'"
    await eventually_async(lambda: other.fetchval(passed, began), what="longer than the limits allow")
    await lock.rollback()
    await migrating
    assert await revision(empty_database_url) == brought_revision()
    for session in (connection, other):
        await session.close()


async def looked(connection: Connection, *, times: int) -> None:
    """Wait until a process has looked so many times whether another one still migrates."""
    seen: set[datetime] = set()

    async def look() -> bool:
        seen.update(row["query_start"] for row in await connection.fetch(LOOKS, SESSION_NAME))
        return len(seen) >= times

    await eventually_async(look, what="it looks for who migrates")


async def test_a_process_that_waits_while_another_one_migrates_leaves_nothing_in_the_servers_log(
    own_engines: OwnEngines,
) -> None:
    async with database_connections(own_engines.postgres.url, 2) as (leader, other):
        async with leader.transaction():
            await leader.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            migrating = asyncio.create_task(migrated(own_engines.postgres.url))
            await looked(other, times=3)
        await migrating
    assert "ERROR" not in own_engines.postgres.log.read_text()


async def test_a_server_whose_transactions_keep_their_snapshot_holds_up_no_build_of_an_index(
    empty_database_url: str,
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    await connection.close()
    await migrated(empty_database_url)
    assert await revision(empty_database_url) == brought_revision()


async def test_imports_from_before_they_were_numbered_have_the_order_of_their_plans(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await migrated_to(empty_database_url, "0008")
        await connection.execute(BEFORE_GENERATIONS)
        await migrated(empty_database_url)
        types = await connection.fetch(
            """
            SELECT r.id, j.id, r.generation
            FROM record_types AS r JOIN jobs AS j USING (job_no)
            ORDER BY r.id, r.generation
            """
        )
        sets = await connection.fetch(
            "SELECT record_type, generation, completed_generation, open_generation FROM record_sets ORDER BY 1"
        )
    finally:
        await connection.close()
    assert [tuple(row) for row in types] == [
        ("a", "first", 1),
        ("a", "second", 2),
        ("a", "third", 3),
        ("b", "first", 1),
    ]
    assert [tuple(row) for row in sets] == [("a", 3, 2, 0), ("b", 1, 0, 0)]
