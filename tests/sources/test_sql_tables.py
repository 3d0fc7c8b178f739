"""Which table of a database a name means, and which may be read."""

import asyncio
import datetime as dt

import pytest
from pydantic import SecretStr

from configuration.content import Configuration
from domain.identities import IdentityKey, IdentityKind
from domain.sources.sql import SqlSource as SqlSourceSpec
from runtime.configured_secrets import Secrets
from sources.configured import ConfiguredSources
from sources.errors import SourceForbidden, SourceMissing, SourceRefused
from sources.sql.source import SqlSource
from tests.support.configurations import content_of
from tests.support.import_bodies import listed
from tests.support.reading_sources import in_role, payloads, read_all, sql_connection


async def ids(connection, table):
    """The ids that a table holds, and a reader may have any key."""
    source = SqlSource(connection, table)
    return [payload["id"] for payload in payloads(await read_all(source, await source.ranges(["id"], 5)))]


@pytest.fixture
async def connection(empty_database_url):
    tables = listed('public."a.b"', "a.b", "public.shown", "public.seen", 'public."Odd ""name"""', "public.part")
    opened = sql_connection(empty_database_url, tables)
    yield opened
    await opened.aclose()


async def test_a_dot_parts_a_schema_from_a_table_unless_it_is_quoted(database, connection):
    await database.execute(
        """
        CREATE TABLE "a.b" (id int PRIMARY KEY); INSERT INTO "a.b" VALUES (7);
        CREATE SCHEMA a; CREATE TABLE a.b (id int PRIMARY KEY); INSERT INTO a.b VALUES (8);
        CREATE SCHEMA "a.b"; CREATE TABLE "a.b".b (id int);
        """
    )
    assert await ids(connection, "a.b") == [8]
    assert await ids(connection, '"a"."b"') == [8]
    for name in ('"a.b"', 'public."a.b"', '"public"."a.b"'):
        assert await ids(connection, name) == [7]
    with pytest.raises(SourceForbidden):
        await ids(connection, '"a.b".b')
    await database.execute("DROP TABLE a.b")
    with pytest.raises(SourceMissing):
        await ids(connection, "a.b")


async def test_names_with_quotes_in_them_are_read(database, connection):
    await database.execute('CREATE TABLE "Odd ""name""" (id int); INSERT INTO "Odd ""name""" VALUES (1)')
    assert await ids(connection, '"Odd ""name"""') == [1]


@pytest.mark.parametrize("table", ["public.secret", "secret", '"secret"', "public.nothing", "pg_class", "Shown"])
async def test_a_table_that_is_not_listed_is_not_read(database, connection, table):
    await database.execute("CREATE TABLE secret (id int); CREATE TABLE shown (id int)")
    with pytest.raises((SourceForbidden, SourceMissing)) as refused:
        await ids(connection, table)
    assert not refused.value.retryable
    if table.startswith("public."):  # whether there is one isn't said
        assert refused.value.detail == (
            f'The connection may not read table "{table}": the operator can add it to its `tables`.'
        )


async def test_a_name_without_a_schema_is_read_only_if_the_one_that_it_leads_to_is_listed(
    database, connection, empty_database_url
):
    await database.execute(
        f"""
        CREATE TABLE shown (id int); CREATE SCHEMA first; CREATE TABLE first.shown (id int);
        INSERT INTO first.shown VALUES (1);
        ALTER DATABASE "{await database.fetchval("SELECT current_database()")}" SET search_path = first, public;
        """
    )
    with pytest.raises(SourceForbidden, match=r"first\.shown"):
        await ids(connection, "shown")
    assert await ids(connection, "public.shown") == []


async def test_a_listed_view_reads_unlisted_tables(database, connection):
    await database.execute(
        "CREATE TABLE secret (id int); INSERT INTO secret VALUES (1); CREATE VIEW seen AS SELECT id FROM secret"
    )
    assert await ids(connection, "seen") == [1]


async def test_nothing_is_read_where_nothing_is_listed(database, empty_database_url):
    await database.execute("CREATE TABLE shown (id int)")
    connection = sql_connection(empty_database_url, ())
    for table in ("shown", "public.shown"):
        with pytest.raises(SourceForbidden, match="tables"):
            await SqlSource(connection, table).count()
    await connection.aclose()


async def test_a_list_that_shrinks_applies_to_the_next_range_of_an_open_source(database, empty_database_url):
    await database.execute("CREATE TABLE shown (id int PRIMARY KEY); INSERT INTO shown VALUES (1), (2)")
    sources = ConfiguredSources(None)
    numbers = {IdentityKey(IdentityKind.CONNECTION, "erp", ""): 5}
    secrets = Secrets({"ERP_URL": SecretStr(empty_database_url)}, {})

    def serve(tables):
        content = content_of({"connections": {"erp": {"url_env": "ERP_URL", "tables": tables}}})
        sources.serve(Configuration(1, content, dt.datetime.now(dt.UTC), "a test", numbers), secrets)

    serve(["public.shown"])
    source = sources.open(SqlSourceSpec("erp", "shown"), 5)
    survey = await source.ranges(["id"], 1)
    assert len(await source.read(survey.ranges[0].range)) == 1
    serve(["public.other"])
    for item in (source, sources.open(SqlSourceSpec("erp", "public.shown"), 5)):
        with pytest.raises(SourceForbidden):
            await item.read(survey.ranges[1].range)
    await sources.aclose()


async def test_rows_that_row_level_security_hides_are_not_left_out_in_silence(database, empty_database_url):
    role = f"reader_{await database.fetchval('SELECT pg_backend_pid()')}"
    await database.execute(
        f"""
        CREATE TABLE shown (id int, owner text); INSERT INTO shown VALUES (1, 'a'), (2, 'b');
        ALTER TABLE shown ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shown USING (owner = 'a');
        CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM shown; CREATE VIEW owned AS SELECT * FROM shown;
        CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
        """
    )
    try:
        tables = listed("public.shown", "public.seen", "public.owned")
        connection = sql_connection(in_role(empty_database_url, role), tables)
        with pytest.raises(SourceRefused, match='Row-level security of "shown" hides rows'):
            await ids(connection, "shown")
        with pytest.raises(SourceRefused, match=r'Connection "erp": .*BYPASSRLS'):
            await ids(connection, "seen")
        assert await ids(connection, "owned") == [1, 2]
        await connection.aclose()
    finally:
        await database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_table_of_as_many_columns_as_there_can_be_is_read(database, empty_database_url):
    columns = ", ".join(f'"column {number}" int DEFAULT {number}' for number in range(1599))
    await database.execute(f"CREATE TABLE shown (id int PRIMARY KEY, {columns}); INSERT INTO shown VALUES (1), (2)")
    connection = sql_connection(empty_database_url)
    source = SqlSource(connection, "shown")
    survey = await source.ranges(["id"], 1)
    rows = payloads(await read_all(source, survey))
    assert [len(row) for row in rows] == [1600, 1600]
    assert rows[1]["column 1598"] == 1598
    await connection.aclose()


async def test_children_partitions_generated_and_dropped_columns_are_read_as_by_select(database, connection):
    await database.execute(
        """
        CREATE TABLE shown (id int, gone int, twice int GENERATED ALWAYS AS (id * 2) STORED);
        ALTER TABLE shown DROP gone;
        CREATE TABLE child (more int) INHERITS (shown);
        INSERT INTO shown VALUES (1); INSERT INTO child (id, more) VALUES (2, 0);
        """
    )
    source = SqlSource(connection, "public.shown")
    rows = payloads(await read_all(source, await source.ranges(["id"], 5)))
    assert rows == [{"id": 1, "twice": 2}, {"id": 2, "twice": 4}]


class LateSource(SqlSource):
    """Its first read of a range goes on once it is `let` on, after it has looked the order up."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.reached, self.let = asyncio.Event(), asyncio.Event()

    async def _order_again(self, *arguments):
        order = await super()._order_again(*arguments)
        self.reached.set()
        await self.let.wait()
        return order


async def test_a_late_read_leaves_no_order_of_the_table_as_it_was_before_a_new_survey(database, connection):
    await database.execute("CREATE TABLE shown (id int PRIMARY KEY); INSERT INTO shown VALUES (1)")
    source = LateSource(connection, "shown")
    [part] = (await source.ranges(["id"], 5)).ranges
    late = asyncio.create_task(source.read(part.range))
    await asyncio.wait_for(source.reached.wait(), 10)
    await database.execute("ALTER TABLE shown ADD COLUMN name text NOT NULL DEFAULT 'added'")
    survey = await source.ranges(["id"], 5)
    source.let.set()
    assert payloads(await late) == [{"id": 1}]
    assert payloads(await read_all(source, survey)) == [{"id": 1, "name": "added"}]
