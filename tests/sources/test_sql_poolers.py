"""PgBouncer before a source, in the configuration that it comes with: what is read, and what is refused."""

import asyncio

import asyncpg
import pytest

from sources.errors import SourceRefused, SourceUnavailable, Unreadable
from sources.sql.session import APPLICATION_NAME
from sources.sql.source import SqlSource
from tests.support.gateway import gateway_to
from tests.support.pgbouncer import NEWER, pgbouncer
from tests.support.reading_sources import read_all, sql_connection

ROWS = 3_000
MODES = [(None, "session"), (None, "transaction"), *([(NEWER, "transaction"), (NEWER, "session")] if NEWER else [])]


@pytest.fixture
async def database(empty_database_url):
    """A session that fills the source, whose own settings write values in other ways."""
    opened = await asyncpg.connect(empty_database_url)
    name = await opened.fetchval("SELECT current_database()")
    await opened.execute(
        f"""
        ALTER DATABASE "{name}" SET DateStyle = 'SQL, DMY'; ALTER DATABASE "{name}" SET TimeZone = 'Asia/Tokyo';
        ALTER DATABASE "{name}" SET extra_float_digits = -5; ALTER DATABASE "{name}" SET bytea_output = 'escape';
        ALTER DATABASE "{name}" SET IntervalStyle = 'sql_standard';
        CREATE TABLE line (
            id numeric PRIMARY KEY, at timestamptz, share float4, code bytea[], lasts interval, day date
        );
        INSERT INTO line
        SELECT n, timestamptz '2024-01-02 03:04:05+00' + n * interval '1 s', 0.1234567, ARRAY['\\x00ff'::bytea],
            interval '1 day 2 hours', date '2024-02-03'
        FROM generate_series(1, {ROWS}) AS n;
        CREATE FUNCTION noted(int) RETURNS int LANGUAGE sql AS 'INSERT INTO line (id) VALUES (-$1) RETURNING 1';
        CREATE VIEW writes AS SELECT noted(n) AS id FROM generate_series(1, 3) AS n;
        """
    )
    yield opened
    await opened.close()


@pytest.mark.parametrize(("program", "mode"), MODES, ids=lambda given: "newer" if given == NEWER and NEWER else given)
async def test_a_table_is_read_through_a_pooler_whose_sessions_others_use_too(
    *, database, empty_database_url, tmp_path, program, mode
):
    async with pgbouncer(empty_database_url, tmp_path, program=program, mode=mode, size=6) as url:
        # Others' transactions run between ours, with prepared statements of the same names.
        other = await asyncpg.connect(url)
        connection = sql_connection(url)
        source = SqlSource(connection, "line")
        survey = await source.ranges(["id"], 20)
        reading = [asyncio.create_task(source.read(part.range)) for part in survey.ranges]
        while not all(task.done() for task in reading):
            async with other.transaction():
                await other.fetchval("SELECT count(*) FROM line WHERE id > $1", 5)
                await other.execute("DEALLOCATE ALL")
            await other.reload_schema_state()
        rows = [row for task in reading for row in task.result()]
        assert len(rows) == survey.rows == ROWS
        assert {row.defect for row in rows} == {None}
        assert rows[0].payload == {
            "id": "1",
            "at": "2024-01-02T03:04:06+00:00",
            "share": 0.1234567,
            "code": ["AP8="],
            "lasts": "1 day 02:00:00",
            "day": "2024-02-03",
        }
        with pytest.raises(Unreadable, match=r'Connection "erp": .*tries to write.*\(25006'):
            await SqlSource(connection, "writes").ranges(["id"], 5)
        await connection.aclose()
        await other.close()
    assert await database.fetchval("SELECT count(*) FROM line") == ROWS


async def test_nothing_is_left_set_on_a_session_that_a_pooler_gives_to_others(database, empty_database_url, tmp_path):
    async with pgbouncer(empty_database_url, tmp_path, mode="transaction", size=1) as url:
        connection = sql_connection(url)
        source = SqlSource(connection, "line")
        await read_all(source, await source.ranges(["id"], 1_000))
        other = await asyncpg.connect(url, statement_cache_size=0)
        async with other.transaction():
            for name, value in (
                ("TimeZone", "Asia/Tokyo"),
                ("transaction_read_only", "off"),
                ("statement_timeout", "0"),
                ("row_security", "on"),
            ):
                assert await other.fetchval(f"SHOW {name}") == value
            assert await other.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql") == 0
        await other.close()
        await connection.aclose()


async def test_a_range_of_a_table_is_one_round_trip_where_no_pooler_stands_between(database, empty_database_url):
    async with gateway_to(empty_database_url) as gateway:
        connection = sql_connection(gateway.url)
        source = SqlSource(connection, "line")
        survey = await source.ranges(["id"], 300)
        await read_all(source, survey)
        before = gateway.asked
        rows = await read_all(source, survey)
        assert (len(rows), gateway.asked - before) == (ROWS, len(survey.ranges))
        assert rows[0].payload["at"] == "2024-01-02T03:04:06+00:00"
        await connection.aclose()


SETS = """
    CREATE FUNCTION sets(name text, value text) RETURNS text LANGUAGE sql
        AS $$ SELECT set_config(name, value, false) $$;
    CREATE VIEW careless AS
    SELECT 1 AS id, sets('TimeZone', 'America/Lima') AS zone, sets('default_transaction_read_only', 'off') AS free,
        sets('statement_timeout', '0') AS unbounded, sets('row_security', 'on') AS hidden
"""


async def test_settings_made_by_a_view_are_undone_before_the_next_read(database, empty_database_url):
    await database.execute(SETS)
    connection = sql_connection(empty_database_url, size=1)
    line, careless = SqlSource(connection, "line"), SqlSource(connection, "careless")
    survey = await line.ranges(["id"], ROWS)
    assert len(await read_all(careless, await careless.ranges(["id"], 5))) == 1
    (first, *_) = await read_all(line, survey)
    assert first.payload["at"] == "2024-01-02T03:04:06+00:00"
    settings = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)"
    named = ["default_transaction_read_only", "row_security", "statement_timeout", "TimeZone"]
    found = await connection.fetch(settings, named, runs_code=False)
    assert dict(found) == {
        "TimeZone": "UTC",
        "default_transaction_read_only": "on",
        "row_security": "off",
        "statement_timeout": "60000",
    }
    await connection.aclose()


async def test_settings_made_by_a_view_do_not_reach_other_clients_behind_a_pooler(
    database, empty_database_url, tmp_path
):
    await database.execute(SETS)
    async with pgbouncer(empty_database_url, tmp_path, mode="transaction", size=1) as url:
        connection = sql_connection(url)
        careless = SqlSource(connection, "careless")
        await read_all(careless, await careless.ranges(["id"], 5))
        other = await asyncpg.connect(url, statement_cache_size=0)
        async with other.transaction():
            assert await other.fetchval("SHOW row_security") == "on"
            assert await other.fetchval("SHOW statement_timeout") == "0"
            assert await other.fetchval("SHOW TimeZone") == "Asia/Tokyo"  # as the database has it
            assert await other.fetchval("SELECT source FROM pg_settings WHERE name = 'TimeZone'") == "database"
            assert await other.fetchval("SELECT source FROM pg_settings WHERE name = 'row_security'") == "default"
        await other.close()
        await connection.aclose()


async def test_a_pooler_in_statement_mode_is_refused_with_the_remedy(database, empty_database_url, tmp_path):
    async with pgbouncer(empty_database_url, tmp_path, mode="statement") as url:
        connection = sql_connection(url)
        for ask in (SqlSource(connection, "line").count, SqlSource(connection, "line").columns):
            with pytest.raises(SourceRefused, match=r'Connection "erp": .*use session or transaction mode'):
                await ask()
        await connection.aclose()


async def test_a_startup_parameter_that_a_pooler_refuses_is_named(database, empty_database_url, tmp_path):
    async with pgbouncer(empty_database_url, tmp_path, mode="transaction") as url:
        connection = sql_connection(f"{url}?options=-c%20search_path%3Dpublic")
        with pytest.raises(SourceRefused, match=r'Connection "erp": .*`options`.*ignore_startup_parameters'):
            await SqlSource(connection, "line").count()
        await connection.aclose()
        unknown = sql_connection(url.rpartition("/")[0] + "/nothing")
        with pytest.raises(SourceUnavailable, match=r'Connection "erp": the pooler before the source says ".+"'):
            await SqlSource(unknown, "line").count()
        await unknown.aclose()


async def test_a_session_has_the_name_of_its_purpose(database, empty_database_url):
    connection = sql_connection(empty_database_url)
    await SqlSource(connection, "line").columns()
    called = await database.fetch("SELECT application_name FROM pg_stat_activity WHERE datname = current_database()")
    assert APPLICATION_NAME in {row["application_name"] for row in called}
    await connection.aclose()
