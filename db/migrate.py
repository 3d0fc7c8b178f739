"""Bring a database to this version's schema; safe to start from many processes at once."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from db.connecting import Dialer
from db.connection_info import read_connection_info

MIGRATION_LOCK = 0x627265616B77  # "breakw": one migrator at a time per database
UNLIMITED = text("SELECT set_config(name, '0', true) FROM unnest(ARRAY['lock_timeout', 'statement_timeout']) AS name")
"""For the transaction: limits that the server has for requests would end a migration half-way, or the wait for one."""


def upgrade(database_url: str) -> None:
    """Run the migrations that the database lacks, each in a transaction that holds an advisory lock to its end.

    Safe to repeat and to race: the second caller waits and finds nothing to do. Takes a `postgresql://` URL.
    Call it outside a running event loop.
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


async def _advance(engine: AsyncEngine) -> bool:
    """Run the first migration that the database lacks; return whether there was one."""
    async with engine.begin() as connection:
        await connection.execute(UNLIMITED)
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        return await connection.run_sync(_run_next)


def _run_next(connection: Connection) -> bool:
    if MigrationContext.configure(connection).get_current_heads() == (head(),):
        return False
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "+1")
    return True


def run_script(connection: Connection, script: Path) -> None:
    """Run a file of several statements in the migration's transaction (prepared statements take only one)."""
    adapted = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(script.read_text()))  # type: ignore[union-attr]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def head() -> str:
    """Return the newest revision that this code brings."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current(connection: asyncpg.Connection) -> str | None:
    """Return the revision the database is at, or None where no migration has run."""
    known = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    return await connection.fetchval("SELECT version_num FROM alembic_version") if known else None
