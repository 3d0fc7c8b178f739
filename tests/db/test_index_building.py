"""What a file that builds an index may hold."""

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db.index_building import build_index
from tests.support.connections import database_connections


async def build(database_url: str, creation: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    try:
        await build_index(engine, "a_name", creation, session_name="a migrator", wait_seconds=1)
    finally:
        await engine.dispose()


async def test_a_file_with_a_second_statement_is_refused_by_name(empty_database_url: str) -> None:
    two = "CREATE INDEX CONCURRENTLY a_name ON pg_class (relname); -- and\nANALYZE pg_class;"
    with pytest.raises(ValueError, match="index a_name has 2 statements"):
        await build(empty_database_url, two)


async def test_a_semicolon_in_a_comment_ends_no_statement(empty_database_url: str) -> None:
    async with database_connections(empty_database_url) as (connection,):
        await connection.execute("CREATE TABLE a_table (id int)")
        await build(empty_database_url, "-- One; no more.\nCREATE INDEX CONCURRENTLY a_name ON a_table (id);\n")
        assert await connection.fetchval("SELECT to_regclass('a_name') IS NOT NULL")
