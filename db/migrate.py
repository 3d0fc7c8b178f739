"""Bring a database to this version's schema; safe to start from many processes at once."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from db.connecting import Dialer
from db.connection_info import read_connection_info
from db.engine import statement
from db.schema import Schema, migration_config, require_schema

MIGRATION_LOCK = 0x627265616B77  # "breakw": one migrator at a time per database
UNLIMITED = text("SELECT set_config(name, '0', true) FROM unnest(ARRAY['lock_timeout', 'statement_timeout']) AS name")
"""Lifts the server's limits for the transaction: they would end a long migration, or the wait for one."""


def upgrade(database_url: str) -> None:
    """Run the migrations that the database lacks, each in a transaction that holds an advisory lock to its end.

    Safe to repeat and to race: the second caller waits and finds nothing to do. The schema of a later release stays
    unchanged; raises SchemaNotServed if it doesn't serve this release. Takes a `postgresql://` URL. Call it outside a
    running event loop.
    """
    asyncio.run(_upgrade(database_url))


async def _upgrade(database_url: str) -> None:
    dialer = Dialer(read_connection_info(database_url))

    async def open_session() -> asyncpg.Connection:
        return await dialer.open(settings={"application_name": "breakwater-migrate"}, command_seconds=None)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_session, poolclass=NullPool)
    try:
        while await _advance(engine):
            pass
    finally:
        await engine.dispose()
    session = await open_session()
    try:
        await require_schema(session)
    finally:
        await session.close()


async def _advance(engine: AsyncEngine) -> bool:
    """Run the first migration that the database lacks; return whether there was one."""
    async with engine.begin() as connection:
        await connection.execute(UNLIMITED)
        await connection.exec_driver_sql(statement("lock_migration"), (MIGRATION_LOCK,))
        return await connection.run_sync(_run_next)


def _run_next(connection: Connection) -> bool:
    found = Schema(MigrationContext.configure(connection).get_current_revision())
    if found.is_later or found.mismatch is None:
        return False
    config = migration_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "+1")
    return True


def run_script(connection: Connection, script: Path) -> None:
    """Run a file of several statements in the migration's transaction (prepared statements take only one)."""
    adapted = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(script.read_text()))  # type: ignore[union-attr]
