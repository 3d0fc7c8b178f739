"""MySQL tables as sources, from a real MariaDB: no row is skipped or read twice, whatever its key; and what fails."""

import asyncio
import random
import threading

import pytest

from sources.errors import (
    KeyMissing,
    KeyUnusable,
    SourceChanged,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    UnknownColumn,
    Unreadable,
)
from sources.mysql import session
from sources.mysql.source import MysqlSource
from sources.protocol import RANGE_ROWS
from tests.support.gateway import gateway_to
from tests.support.reading_sources import mysql_connection, read_all
from tests.support.waiting import eventually_async


@pytest.fixture
def write(mariadb):
    """Run statements in the test's database."""
    server, database = mariadb
    return lambda statements: server.run(f"SET sql_mode = '', time_zone = '+00:00';\n{statements}", database=database)


@pytest.fixture
def open_table(mariadb):
    """A connection that may read the test's tables, by their names."""
    server, database = mariadb

    def open_(*names, **limits):
        return mysql_connection(
            server.url(database), *(f'{database}."{name}"' for name in names or ["thing"]), **limits
        )

    return open_


KEYS = {
    "int": ["5", "-3", "0", "2147483647"],
    "bigint unsigned": ["0", "18446744073709551615", "9223372036854775808", "7"],
    "decimal(12,3)": ["1.5", "-0.001", "0", "99999.125"],
    "double": ["0.1", "-1e300", "0", "1e-300", "2.5"],
    "float": ["0.1", "16777216", "-0.3", "1e30"],
    "varchar(20)": ["'a'", "'A'", "'a '", "'b'", "'é'", "'Z'", "''", "'ä'", "'_'", "'\\\\'", "'\\''", "'😀'"],
    "varchar(20) collate utf8mb4_bin": ["'a'", "'A'", "'a '", "'é'", "''"],
    "varchar(20) character set latin1": ["'a'", "'A'", "'é'", "'ß'", "'ss'"],
    "varchar(20) character set utf16": ["'a'", "'A'", "'😀'", "'漢'"],
    "varchar(3000)": [f"CONCAT(REPEAT('x', 2000), '{n:03d}')" for n in range(12)],
    "text": ["'one'", "'Two'", "'two '"],
    "varbinary(10)": ["X''", "X'00'", "X'ff'", "X'6100'", "X'61'"],
    "binary(3)": ["X'00'", "X'ff'"],
    "date": ["'2024-02-29'", "'1000-01-01'", "'9999-12-31'", "'0000-00-00'", "'2024-00-01'"],
    "date not null": ["'0000-00-00'", "'2024-02-29'", "'2024-03-01'"],
    "datetime(6)": ["'2024-02-29 01:02:03.000001'", "'2024-02-29 01:02:03'", "'0000-00-00 00:00:00'"],
    "timestamp(3) null": ["'2024-10-27 00:30:00.001'", "'2024-10-27 01:30:00'", "'1970-01-01 00:00:01'"],
    "time(3)": ["'838:59:59'", "'-838:59:59'", "'00:00:00.001'", "'-00:00:01'"],
    "year": ["2024", "1901", "0"],
    "enum('z','a','m')": ["'z'", "'a'", "'m'"],
    "bit(12)": ["b'1'", "b'0'", "b'111111111111'"],
    "uuid": ["'123e4567-e89b-12d3-a456-426655440000'", "'023e4567-e89b-92d3-1456-426655440000'", "UUID()"],
    "inet6": ["'::1'", "'ffff::'", "'1.2.3.4'"],
}


UNINDEXED = {"text", "varchar(3000)"}
"""Types of which an index has a part only."""


async def assert_partition(connection, table, key, batch_size, numbers):
    """Every row is read once, and what the server itself counts between two bounds is what a range says of itself."""
    source = MysqlSource(connection, table)
    survey = await source.ranges(key, batch_size)
    rows = await read_all(source, survey)
    assert sorted(row.payload["n"] for row in rows) == numbers
    assert [row.position for row in rows] == list(range(len(numbers)))
    assert survey.rows == len(numbers) == sum(part.rows for part in survey.ranges)
    return survey


@pytest.mark.parametrize("type_", KEYS)
async def test_no_row_is_skipped_or_read_twice_with_any_key_and_index(write, open_table, type_):
    values = [*KEYS[type_], *KEYS[type_][:2], *([] if "not null" in type_ else ["NULL"])]
    random.Random(type_).shuffle(values)
    rows = ", ".join(f"({value}, {'NULL' if n == 1 else n % 3}, {n})" for n, value in enumerate(values))
    write(
        f"CREATE TABLE bare (k {type_}, b int, n int); INSERT INTO bare VALUES {rows};"
        f"CREATE TABLE indexed (k {type_}, b int, n int, KEY (b, k{'(20)' if type_ in UNINDEXED else ''}));"
        "INSERT INTO indexed SELECT * FROM bare"
    )
    numbers = list(range(len(values)))
    async with open_table("bare", "indexed") as connection:
        survey = await assert_partition(connection, "bare", ["k"], 1, numbers)
        assert len(survey.ranges) > 1
        assert "No index begins with" in survey.detail
        for batch_size in (1, 3):
            survey = await assert_partition(connection, "indexed", ["k", "b"], batch_size, numbers)
            assert ("No index" in (survey.detail or "")) == (type_ in UNINDEXED)


async def test_a_long_table_is_cut_into_ranges_that_scan_its_index(write, open_table, mariadb):
    write(
        "CREATE TABLE thing (a int, b varchar(20), n int, PRIMARY KEY (a, b));"
        "INSERT INTO thing SELECT seq % 700, CONCAT('Row ', seq), seq FROM seq_0_to_20999"
    )
    async with open_table() as connection:
        survey = await assert_partition(connection, "thing", ["b", "a"], 500, list(range(21_000)))
        assert survey.ranges[7].range["key"] == ["a", "b"]
        before = handler_reads(mariadb)
        await MysqlSource(connection, "thing").read(survey.ranges[20].range)
        assert handler_reads(mariadb) - before < 2_000


def handler_reads(mariadb):
    server, _ = mariadb
    shown = server.run("SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')")
    return sum(int(value) for _, value in shown)


async def test_a_survey_sees_one_moment_and_a_range_means_the_same_rows_later(write, open_table):
    write("CREATE TABLE thing (id int primary key); INSERT INTO thing SELECT seq FROM seq_1_to_100")
    async with open_table() as connection:
        source = MysqlSource(connection, "thing")
        survey = await source.ranges(["id"], 40)
        assert [(part.range.get("from"), part.rows) for part in survey.ranges] == [
            (["1"], 40),
            (["41"], 40),
            (["81"], 20),
        ]
        write("INSERT INTO thing VALUES (0), (101), (1000); DELETE FROM thing WHERE id = 50")
        rows = await read_all(source, survey)
        assert [row.payload["id"] for row in rows] == [n for n in range(1, 101) if n != 50]


async def test_only_listed_tables_are_read_by_their_very_names(write, open_table, mariadb):
    server, database = mariadb
    write(
        'CREATE TABLE thing (id int primary key); CREATE TABLE `odd ``na"me.x` (id int primary key);'
        'INSERT INTO `odd ``na"me.x` VALUES (7)'
    )
    odd = 'odd `na"me.x'.replace('"', '""')
    async with open_table("thing", "gone", odd) as connection:
        assert await MysqlSource(connection, f"{database}.thing").count() == 0
        assert await MysqlSource(connection, f'"{odd}"').columns() == ("id",)
        assert await MysqlSource(connection, f'"{odd}"').count() == 1
        for name, error in (
            ("Thing", SourceForbidden),
            ("other", SourceForbidden),
            ("mysql.user", SourceForbidden),
            ("gone", SourceMissing),
            ("a.b.c", SourceMissing),
        ):
            with pytest.raises(error):
                await MysqlSource(connection, name).count()
        source = MysqlSource(connection, "thing")
        await source.count()
        connection.tables = frozenset()  # as a configuration that lists less
        with pytest.raises(SourceForbidden):
            await source.count()
    async with mysql_connection(server.url(database), "mysql.user") as connection:
        with pytest.raises(SourceMissing):
            await MysqlSource(connection, "mysql.user").count()
    async with mysql_connection(server.url(""), f"{database}.thing") as connection:
        assert await MysqlSource(connection, f"{database}.thing").count() == 0
        with pytest.raises(SourceMissing, match="URL names no database"):
            await MysqlSource(connection, "thing").count()


async def test_views_generated_and_invisible_columns_are_as_select_star_has_them(write, open_table):
    write(
        "CREATE TABLE thing (id int primary key, a int, b int AS (a * 2), hidden int INVISIBLE);"
        "INSERT INTO thing (id, a) VALUES (1, 5); CREATE VIEW seen AS SELECT id, b, id + 1 AS next FROM thing"
    )
    async with open_table("thing", "seen") as connection:
        for name, payload in (("thing", {"id": 1, "a": 5, "b": 10}), ("seen", {"id": 1, "b": 10, "next": 2})):
            source = MysqlSource(connection, name)
            (row,) = await read_all(source, await source.ranges(["id"], 5))
            assert row.payload == payload


async def test_nothing_is_written_and_an_account_without_the_right_gets_an_error_that_says_so(
    write, open_table, mariadb
):
    server, database = mariadb
    write(
        "CREATE TABLE thing (id int primary key, secret int); INSERT INTO thing VALUES (1, 2);"
        "CREATE TABLE noted (id int);"
        f"CREATE OR REPLACE USER part_{database} IDENTIFIED BY 'p@ss/word';"
        f"GRANT SELECT (id) ON {database}.thing TO part_{database}"
    )
    write(
        "DELIMITER //\nCREATE FUNCTION noting() RETURNS int BEGIN INSERT INTO noted VALUES (1); RETURN 1; END//\n"
        "CREATE VIEW writes AS SELECT id, noting() AS n FROM thing//"
    )
    write("CREATE VIEW late AS SELECT id, 1 AS n FROM thing")
    async with open_table("writes", "late") as connection:
        with pytest.raises(Unreadable, match=r'Connection "shop": what was asked for tries to write'):
            await MysqlSource(connection, "writes").ranges(["n"], 5)
        late = MysqlSource(connection, "late")
        survey = await late.ranges(["id"], 5)
        write("CREATE OR REPLACE VIEW late AS SELECT id, noting() AS n FROM thing")
        with pytest.raises(Unreadable, match=r'Connection "shop": what was asked for tries to write'):
            await late.read(survey.ranges[0].range)
    assert write("SELECT count(*) FROM noted") == [["0"]]
    url = server.url(database, user=f"part_{database}", password="p%40ss%2Fword")  # noqa: S106
    async with mysql_connection(url, f"{database}.thing") as connection:
        with pytest.raises(SourceRefused, match="grant it SELECT on the whole table"):
            await MysqlSource(connection, "thing").count()
    async with mysql_connection(url.replace("word", "wrong"), f"{database}.thing") as connection:
        with pytest.raises(SourceRefused, match=r"1045, access denied.*correct user and password"):
            await MysqlSource(connection, "thing").count()
    server.run(f"DROP USER part_{database}")


async def test_keys_that_can_not_be_used_are_refused_with_why(write, open_table):
    write(
        "CREATE TABLE thing (id int, s set('a'), g point, same int); CREATE TABLE many (id int, one int);"
        f"INSERT INTO many SELECT NULL, 1 FROM seq_1_to_{RANGE_ROWS + 1}"
    )
    async with open_table("thing", "many") as connection:
        for table, key, error in (
            ("thing", "ID", UnknownColumn),
            ("thing", "s", KeyUnusable),
            ("thing", "g", KeyUnusable),
            ("many", "id", KeyMissing),
            ("many", "one", KeyUnusable),
        ):
            with pytest.raises(error):
                await MysqlSource(connection, table).ranges([key], 100)


async def test_a_range_of_another_key_or_with_words_of_its_own_is_refused(write, open_table):
    write("CREATE TABLE thing (id int primary key, v varchar(9)); INSERT INTO thing VALUES (1, 'a'), (2, 'b')")
    async with open_table() as connection:
        survey = await MysqlSource(connection, "thing").ranges(["id"], 1)
        for wrong in ("1 OR 1", "1)", "", "0x1"):
            with pytest.raises(SourceChanged, match="no value of its column"):
                await MysqlSource(connection, "thing").read({**survey.ranges[0].range, "from": [wrong]})
        with pytest.raises(SourceChanged, match="another key"):
            await MysqlSource(connection, "thing").read({**survey.ranges[0].range, "from": ["1", "2"]})
        with pytest.raises(SourceChanged, match="other columns"):
            await MysqlSource(connection, "thing").read({**survey.ranges[0].range, "key": ["v"]})
        write("ALTER TABLE thing MODIFY id bigint")
        with pytest.raises(SourceChanged, match="other columns"):
            await MysqlSource(connection, "thing").read(survey.ranges[0].range)
        small = {**(await MysqlSource(connection, "thing").ranges(["id"], 5)).ranges[0].range, "most": 1}
        with pytest.raises(SourceChanged, match="grew beyond 1 rows"):
            await MysqlSource(connection, "thing").read(small)


SLOW = "CREATE VIEW slow AS SELECT id, SLEEP(20) AS s FROM thing"


async def running(write):
    return write(
        "SELECT id FROM information_schema.processlist WHERE info LIKE '%slow%' AND info NOT LIKE '%processlist%'"
    )


async def test_a_statement_past_its_limit_is_ended_on_both_sides(write, open_table):
    write(f"CREATE TABLE thing (id int primary key); INSERT INTO thing VALUES (1); {SLOW}")
    async with open_table("slow", survey_seconds=0.3) as connection:
        with pytest.raises(SourceTimeout, match="1969, statement timeout"):
            await MysqlSource(connection, "slow").ranges(["s"], 5)
    async with open_table("slow") as connection:
        counting = asyncio.create_task(MysqlSource(connection, "slow").ranges(["s"], 5))
        await eventually_async(lambda: running(write), seconds=10)
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

        async def ended():
            return not await running(write)

        await eventually_async(ended, seconds=10)


async def test_ending_a_statement_gives_up_on_a_server_that_takes_the_connection_and_never_answers(
    write, mariadb, monkeypatch
):
    monkeypatch.setattr(session, "KILL_SECONDS", 0.2)
    server, database = mariadb
    write(f"CREATE TABLE thing (id int primary key); INSERT INTO thing VALUES (1); {SLOW}")
    async with gateway_to(server.url(database)) as gateway:
        url = gateway.url.replace("?sslmode=disable", "?ssl-mode=disabled")
        async with mysql_connection(url, f"{database}.slow") as connection:
            counting = asyncio.create_task(MysqlSource(connection, "slow").ranges(["s"], 5))
            await eventually_async(lambda: running(write), seconds=10)
            gateway.fall_silent()
            clients = gateway.clients
            counting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await counting

            async def has_tried_to_end_it():
                return gateway.clients > clients

            async def has_given_up():
                return not any(thread.name.startswith("mysql") for thread in threading.enumerate())

            await eventually_async(has_tried_to_end_it, seconds=10)
            await eventually_async(has_given_up, seconds=10)
    for (thread_id,) in await running(write):
        write(f"KILL {thread_id}")


async def test_a_server_that_can_not_be_reached_or_goes_is_unavailable(write, mariadb):
    server, database = mariadb
    write("CREATE TABLE thing (id int primary key); INSERT INTO thing VALUES (1)")
    async with gateway_to(server.url(database)) as gateway:
        url = gateway.url.replace("?sslmode=disable", "?ssl-mode=disabled")
        async with mysql_connection(url, f"{database}.thing", connect_seconds=1) as connection:
            source = MysqlSource(connection, "thing")
            survey = await source.ranges(["id"], 5)
            await source.read(survey.ranges[0].range)
            gateway.shut()
            for _ in range(2):  # the session that was lost, and a new one that finds nobody
                with pytest.raises(SourceUnavailable, match=r'^Connection "shop": the source is unavailable') as gone:
                    await source.read(survey.ranges[0].range)
                assert (gone.value.is_unavailable, gone.value.code) == (True, "source_unavailable")
            gateway.open()
            assert len(await source.read(survey.ranges[0].range)) == 1
            gateway.fall_silent()
            with pytest.raises(SourceUnavailable, match="the source is unavailable"):
                await source.count()


async def test_tls_is_verified_as_the_url_says(write, mariadb):
    server, database = mariadb
    write("CREATE TABLE thing (id int primary key)")
    ca = server.certificate
    for options in (
        f"?ssl-mode=verify_ca&ssl-ca={ca}",
        f"?ssl-ca={ca}",
        "?ssl-mode=REQUIRED",
        "",
        "?ssl-mode=disabled",
    ):
        async with mysql_connection(server.url(database, options=options), f"{database}.thing") as connection:
            async with connection.reading() as session:
                ((_, cipher),) = await session.fetch("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            assert bool(cipher) == ("disabled" not in options)
    for options in (f"?ssl-mode=verify_identity&ssl-ca={ca}", "?ssl-mode=verify_ca", "?ssl-mode=verify_identity"):
        async with mysql_connection(server.url(database, options=options), f"{database}.thing") as connection:
            with pytest.raises(SourceRefused, match="the server can't be trusted"):
                await MysqlSource(connection, "thing").count()


GREETING = (
    b"\x0a5.5.5-10.11.0-MariaDB\0" + b"\x01\0\0\0" + b"salt1234\0" + b"\xff\xf7" + b"\x2d\x02\0" + b"\x08\0" + b"\x15"
    + bytes(10) + b"salt56789012\0" + b"mysql_native_password\0"
)  # fmt: skip
"""What a server says first: this one takes no TLS."""


async def test_an_account_is_not_shown_to_a_server_that_takes_no_tls_where_it_must():
    heard = asyncio.Queue()

    async def greet(reader, writer):
        writer.write(len(GREETING).to_bytes(3, "little") + b"\0" + GREETING)
        heard.put_nowait(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"mysql://root:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/shop?ssl-mode=required"
    async with server, mysql_connection(url, "shop.thing") as connection:
        with pytest.raises(SourceRefused, match="takes no TLS"):
            await MysqlSource(connection, "thing").count()
        assert await heard.get() == b""
