"""Indexes that are built while the table is read and written, outside any transaction."""

import re

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import statement

_IS_VALID = "SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass($1)"
_TABLE = "SELECT i.indrelid::regclass::text FROM pg_index AS i WHERE i.indexrelid = to_regclass($1)"


async def build_index(engine: AsyncEngine, name: str, creation: str, *, session_name: str, wait_seconds: float) -> None:
    """Execute the statement that creates this index CONCURRENTLY, unless it is there; drop an invalid one before.

    An invalid index is what a build leaves that was ended: the server uses it for nothing, but keeps it up to date.
    Only the table's other changes of schema and VACUUM wait for a build. It waits for all transactions that began
    before it, at most `wait_seconds` for each; then asyncpg's LockNotAvailableError is raised. The caller sees to it
    that no other process builds as `session_name`, so a build by that name is one whose process was killed, and is
    ended. A build by another, such as an operator's, is waited for likewise, and its index kept. The caller must not
    hold a snapshot meanwhile, for which the build would wait. Raises ValueError for more than one statement.
    """
    _refuse_several_statements(name, creation)
    async with engine.connect() as borrowed:
        session = (await borrowed.get_raw_connection()).driver_connection
        assert session is not None  # noqa: S101 - it was just opened
        milliseconds = str(round(wait_seconds * 1000))
        await session.execute(statement("limit_migration"), milliseconds, session.get_server_pid())
        if await session.fetchval(_IS_VALID, name) is False:
            await session.execute(statement("end_index_build"), name, session_name)
            await _wait_for_build(session, name)
        is_valid = await session.fetchval(_IS_VALID, name)
        if is_valid is False:
            await session.execute(f"DROP INDEX CONCURRENTLY {name}")
        if not is_valid:
            await session.execute(creation)


def _refuse_several_statements(name: str, creation: str) -> None:
    """The server would run several as one transaction, in which no index can be built CONCURRENTLY."""
    statements = [part for part in re.sub(r"--.*", "", creation).split(";") if part.strip()]
    if len(statements) != 1:
        raise ValueError(
            f"The file that builds index {name} has {len(statements)} statements: leave the one that builds it, "
            "and give the others a migration of their own."
        )


async def _wait_for_build(session: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """Wait for the lock that a builder of the index has on its table.

    LOCK TABLE takes no snapshot, for which that build would wait in turn; DROP INDEX would.
    """
    table = await session.fetchval(_TABLE, name)
    if table is not None:
        async with session.transaction():
            await session.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
