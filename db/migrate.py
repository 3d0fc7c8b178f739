"""Bring a database to this version's schema; safe to start from many processes at once, and while a fleet works on it.

Whoever asks for a table waits behind a migration that waits for that table. So a migration waits for a short time only,
gives up, lets the others pass and tries again; an index of a large table is built while others write
(docs/decisions/0035).
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from db.access_rules import read_rules, record_changes
from db.connecting import Dialer
from db.connection_failures import causes_of
from db.connection_info import read_connection_info
from db.engine import statement
from db.index_building import build_index
from db.migration_blockers import Blocker, MigrationBlocked, Report, watched_blockers
from db.roles import find_faults, prepare_roles
from db.schema import MIGRATIONS, Schema, require_schema

MIGRATION_LOCK = 0x627265616B77  # "breakw": one migrator at a time per database
SESSION_NAME = "breakwater-migrate"
LOCK_SECONDS = 2.0
"""How long a migration waits for a lock, and everybody behind it: less than a request may take (QUICK_SECONDS), and
more than the second after which the server ends an autovacuum that is in the way."""
LEAD_SECONDS = 0.5
"""How long a process pauses while another one migrates, before it looks again."""
PAUSE_SECONDS = 4.0
"""How long the others have before the next try."""
WAIT_SECONDS = 300.0
"""How long a migration may be blocked in all, unless the caller says another."""


def upgrade(database_url: str, *, wait_seconds: float = WAIT_SECONDS, report: Report = lambda _: None) -> None:
    """Run the migrations that the database lacks, each in a transaction that holds an advisory lock to its end.

    Safe to repeat, to race and to kill: a second caller waits for as long as the first one takes, then continues. A
    migration that can't lock its tables is tried again; once it was blocked for `wait_seconds`, MigrationBlocked is
    raised. `report` is called with the sessions that block it, each time when these are others. The schema of a later
    release stays unchanged; raises SchemaNotServed if it doesn't serve this release. At last the roles of
    requests and services are made, as far as this user may. Takes a `postgresql://` URL. Call it outside a running
    event loop.
    """
    asyncio.run(_upgrade(database_url, wait_seconds, report))


async def _upgrade(database_url: str, wait_seconds: float, report: Report) -> None:
    dialer = Dialer(read_connection_info(database_url))

    async def open_session() -> asyncpg.Connection:
        return await dialer.open(settings={"application_name": SESSION_NAME}, command_seconds=None)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=open_session, poolclass=NullPool, isolation_level="READ COMMITTED"
    )
    has_migrated = False
    try:
        async with watched_blockers(open_session, SESSION_NAME, report) as blockers:
            while await _advance(engine, wait_seconds=wait_seconds, blockers=blockers) is not None:
                has_migrated = True
    finally:
        await engine.dispose()
    session = await open_session()
    try:
        schema = await require_schema(session)
        # An older release left out what a newer one grants; what a later one granted stays.
        if has_migrated or (not schema.is_later and await find_faults(session)):
            await prepare_roles(session)
    finally:
        await session.close()


async def _advance(
    engine: AsyncEngine, *, wait_seconds: float = WAIT_SECONDS, blockers: Sequence[Blocker] = ()
) -> str | None:
    """Run the first migration that the database lacks; return its revision, None if there was none.

    The advisory lock is held between two tries as well, or another process would try meanwhile and the others have no
    pause. `blockers` are the sessions that were seen last to block a migration.
    """
    async with engine.connect() as connection:
        while not await _try_to_lead(connection):  # noqa: ASYNC110 - a process elsewhere ends the wait
            await asyncio.sleep(LEAD_SECONDS)
        script = await connection.run_sync(_next_script)
        if script is None:
            return None
        began = time.monotonic()
        while not await _try_to_run(engine, connection, script, wait_seconds):
            blocked_seconds = time.monotonic() - began
            if blocked_seconds >= wait_seconds:
                raise MigrationBlocked(script.revision, blocked_seconds, blockers)
            await asyncio.sleep(PAUSE_SECONDS)
        await connection.commit()
        return script.revision


async def _try_to_run(engine: AsyncEngine, connection: AsyncConnection, script: Script, wait_seconds: float) -> bool:
    """Run a migration; return False, with all of its locks released, where a lock wasn't to be had.

    While an index is built, the session that holds the advisory lock is idle and has no snapshot, for which the build
    would wait.
    """
    try:
        for index, creation in _index_creations(script):
            await _drop_snapshot(connection)
            await build_index(engine, index, creation, session_name=SESSION_NAME, wait_seconds=wait_seconds)
        async with connection.begin_nested():
            await connection.run_sync(_run, script.revision)
    except (asyncpg.PostgresError, DBAPIError) as error:
        if _is_about_a_lock(error):
            return False
        raise
    return True


def _index_creations(script: Script) -> Iterator[tuple[str, str]]:
    """Yield the indexes that a migration names, each with the statement that creates it.

    Of one index it stands in the file beside the migration, of several in a file for each.
    """
    named: str | tuple[str, ...] = getattr(script.module, "concurrent_index", ())
    path = Path(script.path)
    if isinstance(named, str):
        yield named, path.with_suffix(".sql").read_text()
    else:
        for index in named:
            yield index, path.with_name(f"{script.revision}_{index}.sql").read_text()


async def _drop_snapshot(connection: AsyncConnection) -> None:
    """End what the driver leaves open of its last statement (a portal, with a snapshot) until it sends the next one."""
    session = (await connection.get_raw_connection()).driver_connection
    assert session is not None  # noqa: S101 - the connection is open
    await session.execute("SELECT")  # without parameters it is a simple query, which leaves nothing open


async def _try_to_lead(connection: AsyncConnection) -> bool:
    """Begin a transaction that holds the advisory lock; return False, and no transaction, while another one has it.

    It doesn't wait for the lock: a wait keeps a snapshot, for which the build of an index would wait, and a wait with a
    limit ends in a line of the server's log.
    """
    taken = await connection.exec_driver_sql(statement("try_migration_lock"), (MIGRATION_LOCK,))
    if not taken.scalar_one():
        await connection.rollback()
        return False
    await connection.exec_driver_sql(statement("limit_migration"), (str(round(LOCK_SECONDS * 1000)), 0))
    return True


def _is_about_a_lock(error: BaseException) -> bool:
    kinds = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
    return any(isinstance(cause, kinds) for cause in causes_of(error))


def _next_script(connection: Connection) -> Script | None:
    """Return the first migration that the database lacks. Alembic raises for a revision that it doesn't know."""
    found = Schema(MigrationContext.configure(connection).get_current_revision())
    if found.is_later or found.mismatch is None:
        return None
    *_, script = migration_scripts().iterate_revisions("head", found.revision or "base")
    return script


def migration_config() -> Config:
    """Return Alembic's configuration, with the folder of the migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def migration_scripts() -> ScriptDirectory:
    """Return the migrations that this release brings."""
    return ScriptDirectory.from_config(migration_config())


def _run(connection: Connection, revision: str) -> None:
    config = migration_config()
    config.attributes["connection"] = connection
    before = read_rules(connection)
    command.upgrade(config, revision)
    record_changes(connection, before)


def run_script(connection: Connection, script: Path) -> None:
    """Run a file of several statements in the migration's transaction (prepared statements take only one)."""
    adapted = connection.connection.dbapi_connection
    adapted.run_async(lambda driver: driver.execute(script.read_text()))  # type: ignore[union-attr]
