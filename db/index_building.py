"""Indexes that are built while the table is read and written, outside any transaction."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import statement

_IS_VALID = "SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass($1)"


async def build_index(engine: AsyncEngine, name: str, creation: str, *, wait_seconds: float) -> None:
    """Execute the statement that creates this index CONCURRENTLY, unless it is there; drop an invalid one before.

    An invalid index is what a build leaves that was ended: the server uses it for nothing, but keeps it up to date.
    Only the table's other changes of schema and VACUUM wait for a build. It waits for all transactions that began
    before it, at most `wait_seconds` for each; then asyncpg's LockNotAvailableError is raised. The caller sees to it
    that no other process builds, so a build under way is one whose process was killed, and is ended. The caller must
    not hold a snapshot meanwhile, for which the build would wait.
    """
    async with engine.connect() as borrowed:
        session = (await borrowed.get_raw_connection()).driver_connection
        assert session is not None  # noqa: S101 - it was just opened
        milliseconds = str(round(wait_seconds * 1000))
        await session.execute(statement("limit_migration"), milliseconds, session.get_server_pid())
        is_valid = await session.fetchval(_IS_VALID, name)
        if is_valid is False:
            await session.execute(statement("end_index_build"), name)
            await session.execute(f"DROP INDEX CONCURRENTLY {name}")
        if not is_valid:
            await session.execute(creation)
