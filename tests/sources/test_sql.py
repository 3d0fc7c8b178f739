import asyncio
import datetime as dt
import itertools
import time
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sources.errors import (
    KeyMissing,
    KeyUnusable,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    TooManyBatches,
    UnknownColumn,
    Unreadable,
)
from sources.sql.order import order_by, read_range
from sources.sql.session import APPLICATION_NAME
from sources.sql.source import SqlSource
from tests.support.reading_sources import held_loop_at_most, in_role, payloads, read_all, sql_connection
from tests.support.waiting import eventually_async


async def make_lines(database, rows, *, primary_key=True):
    await database.execute(
        f"""
        CREATE TABLE line (transaction bigint, line int, amount numeric(12, 2)
            {", PRIMARY KEY (transaction, line)" if primary_key else ""});
        INSERT INTO line SELECT i / 4 * 3, i % 4, i / 7.0 FROM generate_series(0, {rows - 1}) AS g (i);
        ANALYZE line;
        """
    )


async def test_a_table_of_too_many_batches_is_not_cut(database, connection):
    await database.execute("CREATE TABLE line AS SELECT i AS id FROM generate_series(1, 100_001) AS g (i)")
    source = SqlSource(connection, "line")
    with pytest.raises(TooManyBatches, match=r"100001 rows in batches of 1 .* give policy\.batch_size 2 or more"):
        await source.ranges(["id"], 1)


async def test_ranges_partition_the_rows_and_are_read_again_the_same(database, connection):
    await make_lines(database, 1234)
    source = SqlSource(connection, "line")
    assert await source.columns() == ("transaction", "line", "amount")
    assert await source.count() == 1234
    survey = await source.ranges(["transaction", "line"], 100)
    assert (survey.rows, survey.is_complete, survey.detail) == (1234, True, None)
    assert [part.rows for part in survey.ranges] == [100] * 12 + [34]
    rows = await read_all(source, survey)
    assert [(row.payload["transaction"], row.payload["line"]) for row in rows] == [
        (number // 4 * 3, number % 4) for number in range(1234)
    ]
    assert [row.position for row in rows] == list(range(1234))
    assert rows[7].payload["amount"] == "1.00"
    assert await read_all(SqlSource(connection, "public.line"), survey) == rows


async def test_rows_added_and_removed_between_survey_and_reading_move_no_range(database, connection):
    await make_lines(database, 1000)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["transaction", "line"], 100)
    await database.execute(
        "DELETE FROM line WHERE transaction < 60; INSERT INTO line VALUES (61, 0, 1), (-1, 0, 2), (100000, 0, 3)"
    )
    rows = await read_all(source, survey)
    assert len(rows) == 1000 - 80 + 1  # neither what came before the first key nor what came behind the last
    assert [row.payload["transaction"] for row in rows][:5] == [60, 60, 60, 60, 61]


async def test_a_table_that_is_surveyed_again_is_read_with_the_columns_that_it_has_by_then(database, connection):
    await database.execute("CREATE TABLE line (id int PRIMARY KEY); INSERT INTO line VALUES (1)")
    source = SqlSource(connection, "line")
    assert payloads(await read_all(source, await source.ranges(["id"], 10))) == [{"id": 1}]
    await database.execute("ALTER TABLE line ADD note text DEFAULT 'new'")
    assert payloads(await read_all(source, await source.ranges(["id"], 10))) == [{"id": 1, "note": "new"}]


async def test_count_and_ranges_see_one_moment(database, connection, empty_database_url):
    """Rows that are committed behind the last key while the survey is under way are in neither of both."""
    await make_lines(database, 5000)
    writer = await asyncpg.connect(empty_database_url)
    source = SqlSource(connection, "line")

    async def write():
        for number in itertools.count():
            await writer.execute("INSERT INTO line VALUES ($1, 0, 0)", 10_000 + number)

    writing = asyncio.create_task(write())
    surveys = [await source.ranges(["transaction", "line"], 300) for _ in range(20)]
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert surveys[-1].rows > 5000
    for survey in surveys:
        assert len(await read_all(source, survey)) == survey.rows == sum(part.rows for part in survey.ranges)
    await writer.close()


async def test_reading_a_range_scans_that_part_of_the_index(database, connection):
    await make_lines(database, 20_000)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["line", "transaction"], 100)
    source_range = survey.ranges[150].range
    assert source_range["key"] == ["transaction", "line"]  # as the index has them, not as the spec does
    order = order_by(source._table, source_range["key"])
    async with connection.reading() as session:
        plan = await session.fetch(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) " + read_range(order, is_last=False),
            *source_range["from"],
            *source_range["before"],
            1000,
        )
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using line_pkey" in text
    assert "Index Cond: ((ROW(transaction, line) >= ROW(" in text
    assert "Sort" not in text
    assert "Rows Removed" not in text


async def test_the_order_of_text_is_that_of_the_index(database, connection):
    await database.execute(
        """
        CREATE TABLE word (w text, n text COLLATE "POSIX"); CREATE INDEX ON word (n, w COLLATE "ucs_basic");
        INSERT INTO word SELECT chr(97 + i % 26) || i, i FROM generate_series(1, 3000) AS g (i); ANALYZE word;
        """
    )
    source = SqlSource(connection, "word")
    survey = await source.ranges(["w", "n"], 100)
    assert survey.ranges[1].range["collations"] == ['pg_catalog."POSIX"', "pg_catalog.ucs_basic"]
    assert survey.detail is None
    order = order_by(source._table, ["n", "w"])
    async with connection.reading() as session:
        plan = await session.fetch(
            "EXPLAIN " + read_range(order, is_last=False),
            *survey.ranges[1].range["from"],
            *survey.ranges[1].range["before"],
            1000,
        )
    assert any("Index Cond" in row[0] for row in plan)
    assert len(await read_all(source, survey)) == 3000


async def test_without_an_index_the_survey_names_the_cost_of_reading(database, connection):
    await make_lines(database, 500, primary_key=False)
    await database.execute("CREATE INDEX only_some ON line (transaction, line) WHERE amount > 0")
    survey = await SqlSource(connection, "line").ranges(["transaction", "line"], 100)
    assert survey.is_complete
    assert 'No index begins with ("transaction", "line")' in survey.detail


async def test_equal_keys_stay_in_one_range_and_none_is_lost(database, connection):
    await database.execute(
        """
        CREATE TABLE item (id int, part int);
        INSERT INTO item
        SELECT CASE WHEN i BETWEEN 18 AND 73 THEN 18 ELSE i END, i FROM generate_series(0, 199) AS g (i)
        """
    )
    source = SqlSource(connection, "item")
    survey = await source.ranges(["id"], 20)
    read = [await source.read(part.range) for part in survey.ranges]
    assert [len(rows) for rows in read] == [part.rows for part in survey.ranges]
    assert sorted(row.payload["part"] for rows in read for row in rows) == list(range(200))
    assert [row.position for rows in read for row in rows] == list(range(200))
    assert sum(any(row.payload["id"] == 18 for row in rows) for rows in read) == 1


async def test_too_many_rows_with_one_key_are_an_error(database, connection):
    await database.execute("CREATE TABLE item AS SELECT 1 AS id, i AS part FROM generate_series(0, 10000) AS g (i)")
    with pytest.raises(KeyUnusable, match=r'share one value of \("id"\), up to 10001'):
        await SqlSource(connection, "item").ranges(["id"], 500)


async def test_rows_without_a_key_are_a_range_of_their_own(database, connection):
    await database.execute(
        "CREATE TABLE item AS SELECT nullif(i % 10, 3) AS a, i AS b FROM generate_series(0, 99) AS g (i)"
    )
    source = SqlSource(connection, "item")
    survey = await source.ranges(["a", "b"], 20)
    assert (survey.rows, sum(part.rows for part in survey.ranges)) == (100, 100)
    assert '10 of 100 rows have no value in ("a", "b")' in survey.detail
    rows = await read_all(source, survey)
    assert sorted(row.payload["b"] for row in rows) == list(range(100))
    assert [row.payload["a"] for row in rows[90:]] == [None] * 10
    assert [row.position for row in rows] == list(range(100))


async def test_too_many_rows_without_a_key_are_an_error(database, connection):
    await database.execute("CREATE TABLE item AS SELECT NULL::int AS id FROM generate_series(0, 10000)")
    with pytest.raises(KeyMissing, match="10001 of 10001 rows"):
        await SqlSource(connection, "item").ranges(["id"], 500)


async def test_an_empty_table_has_no_ranges(database, connection):
    await make_lines(database, 0)
    survey = await SqlSource(connection, "line").ranges(["transaction", "line"], 10)
    assert (survey.rows, list(survey.ranges), survey.is_complete) == (0, [], True)


async def test_values_of_any_type_become_json(database, connection):
    await database.execute(
        """
        CREATE TYPE mood AS ENUM ('fine'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN amount AS numeric;
        CREATE TABLE kinds AS SELECT
            1::int8 AS i, true AS b, 'é'::text AS t, 'ab '::char(4) AS c, 0.1::float4 AS f4, 0.1::float8 AS f8,
            12.340::numeric AS n, 5.00::amount AS dom, date '2024-02-29' AS d, timestamp '2024-02-29 01:02:03.5' AS ts,
            timestamptz '2024-02-29 01:02:03+02' AS tz, time '01:02' AS tm, interval '1 day 2 hours' AS iv,
            '00000000-0000-0000-0000-000000000001'::uuid AS u, 'ab'::bytea AS by, '{"a": [1, 1.5]}'::jsonb AS j,
            ARRAY[1, NULL]::int[] AS ints, ARRAY[1.10]::numeric[] AS nums, ARRAY['a"b'] AS texts,
            'fine'::mood AS e, ROW(1, 'x')::pair AS p, '10.0.0.1/8'::inet AS net, NULL::text AS nothing
        """
    )
    source = SqlSource(connection, "kinds")
    (row,) = await read_all(source, await source.ranges(["i"], 5))
    assert row.defect is None
    assert row.payload == {
        "i": 1,
        "b": True,
        "t": "é",
        "c": "ab  ",
        "f4": 0.1,
        "f8": 0.1,
        "n": "12.340",
        "dom": "5.00",
        "d": "2024-02-29",
        "ts": "2024-02-29T01:02:03.5",
        "tz": "2024-02-28T23:02:03+00:00",
        "tm": "01:02:00",
        "iv": "1 day 02:00:00",
        "u": "00000000-0000-0000-0000-000000000001",
        "by": "YWI=",
        "j": {"a": [1, 1.5]},
        "ints": [1, None],
        "nums": ["1.10"],
        "texts": ['a"b'],
        "e": "fine",
        "p": {"a": 1, "b": "x"},
        "net": "10.0.0.1/8",
        "nothing": None,
    }


async def test_a_value_without_json_is_a_defect_of_its_row_alone(database, connection):
    await database.execute(
        """
        CREATE TABLE item AS SELECT * FROM (VALUES
            (1, 'NaN'::numeric, date '2024-01-01'), (2, 1.5, 'infinity'), (3, 1.5, '0044-03-15 BC'), (4, 2, NULL)
        ) AS v (id, n, d)
        """
    )
    source = SqlSource(connection, "item")
    rows = await read_all(source, await source.ranges(["id"], 5))
    assert [row.payload for row in rows] == [
        {"id": 1, "d": "2024-01-01"},
        {"id": 2, "n": "1.5"},
        {"id": 3, "n": "1.5"},
        {"id": 4, "n": "2", "d": None},
    ]
    assert [row.defect and row.defect.split(" ")[0] for row in rows] == ["n", "d", "d", None]


HOSTILE = 'o"; DROP TABLE secret; --'


async def test_names_are_looked_up_and_quoted(database, connection):
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    await database.execute(
        f"""
        CREATE TABLE secret (id int); CREATE SCHEMA "S.x";
        CREATE TABLE "S.x".{quoted} ({quoted} int PRIMARY KEY, "c0" text, "t" text, "Id" int);
        INSERT INTO "S.x".{quoted} VALUES (1, 'a', 'b', 2);
        """
    )
    source = SqlSource(connection, f'"S.x".{quoted}')
    survey = await source.ranges([HOSTILE], 5)
    assert payloads(await read_all(source, survey)) == [{HOSTILE: 1, "c0": "a", "t": "b", "Id": 2}]
    assert await database.fetchval("SELECT count(*) FROM secret") == 0
    with pytest.raises(UnknownColumn):
        await source.ranges(["id"], 5)


@pytest.mark.parametrize(
    "table",
    [
        "nothing",
        "Line",
        "line; SELECT 1",
        "(SELECT 1)",
        "pg_class",
        "pg_catalog.pg_class",
        "information_schema.tables",
        "",
        "a\0b",
    ],
)
async def test_a_table_that_the_source_does_not_have_is_missing(database, connection, table):
    await make_lines(database, 1)
    with pytest.raises(SourceMissing):
        await SqlSource(connection, table).count()


@pytest.mark.parametrize(
    "change",
    [
        {"key": ["transaction", 'line") OR (1=1'], "types": ["bigint", "integer"]},
        {"types": ["bigint", "integer) OR (1=1"]},
        {"collations": ['"C") OR (1=1', None]},
        {"types": ["text", "integer"]},
    ],
)
async def test_no_word_of_a_range_reaches_a_statement_unchecked(database, connection, change):
    await make_lines(database, 10)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["transaction", "line"], 5)
    with pytest.raises(SourceChanged):
        await source.read({**survey.ranges[0].range, **change})


async def test_a_key_column_that_changed_its_type_is_reported(database, connection):
    await make_lines(database, 10)
    survey = await SqlSource(connection, "line").ranges(["transaction", "line"], 5)
    await database.execute("ALTER TABLE line ALTER line TYPE text")
    with pytest.raises(SourceChanged):
        await SqlSource(connection, "line").read(survey.ranges[0].range)


async def test_a_table_that_lost_a_column_is_reported(database, connection):
    await make_lines(database, 10)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["transaction", "line"], 5)
    await database.execute("ALTER TABLE line DROP amount")
    with pytest.raises(SourceChanged):
        await source.read(survey.ranges[0].range)


async def test_a_range_that_grew_beyond_its_bound_is_reported(database, connection):
    await make_lines(database, 10)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["transaction", "line"], 5)
    await database.execute("INSERT INTO line SELECT 0, i, 0 FROM generate_series(10, 10010) AS g (i)")
    with pytest.raises(SourceChanged, match="grew beyond 10000 rows"):
        await source.read(survey.ranges[0].range)


async def test_a_key_without_an_order_is_reported(database, connection):
    await database.execute("""CREATE TABLE item AS SELECT '{"a": 1}'::json AS doc""")
    with pytest.raises(KeyUnusable, match="no order"):
        await SqlSource(connection, "item").ranges(["doc"], 5)


async def test_views_partitions_and_foreign_orders_are_read(database, connection):
    await database.execute(
        """
        CREATE TABLE part (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
        CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2024-02-01') TO ('2025-01-01');
        INSERT INTO part SELECT i, date '2024-01-01' + i FROM generate_series(0, 99) AS g (i);
        CREATE VIEW seen AS SELECT id, day FROM part WHERE id % 2 = 0;
        CREATE TABLE backwards (id int); CREATE UNIQUE INDEX ON backwards (id DESC);
        INSERT INTO backwards SELECT id FROM part;
        """
    )
    for table, key, rows in (("part", ["id", "day"], 100), ("seen", ["id"], 50), ("backwards", ["id"], 100)):
        source = SqlSource(connection, table)
        survey = await source.ranges(key, 7)
        ids = [row.payload["id"] for row in await read_all(source, survey)]
        assert ids == sorted(set(ids))
        assert len(ids) == rows


LANGUAGE = "text in a language's order"
KEYS = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(0, 9),
    "text": st.text(st.sampled_from("aAbB é'\"\\-%_0"), max_size=3),
    LANGUAGE: st.text(st.sampled_from("aAbB é-"), max_size=2),
    'text COLLATE "C"': st.text(st.sampled_from("aAbB é"), max_size=2),
    "uuid": st.uuids(),
    "numeric": st.decimals(-1000, 1000, places=3),
    "timestamptz": st.datetimes(timezones=st.just(dt.UTC)),
    "date": st.dates(),
    "float8": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytea": st.binary(max_size=3),
    "interval": st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
}


@st.composite
def tables(draw):
    types = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3))
    key = st.tuples(*(st.none() | KEYS[type_] if draw(st.booleans()) else KEYS[type_] for type_ in types))
    return types, draw(st.lists(key, max_size=60)), draw(st.sampled_from(["", "INDEX", "DESC"]))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(table=tables(), batch_size=st.integers(1, 20))
async def test_ranges_partition_the_rows_for_any_keys(database, connection, table, batch_size):
    types, keys, index = table
    collation = await database.fetchval(
        # The wheel's engine knows no language; an installed one does.
        """SELECT coalesce(max(collname) FILTER (WHERE collname = 'und-x-icu'), 'POSIX') FROM pg_collation"""
    )
    types = [f'text COLLATE "{collation}"' if type_ == LANGUAGE else type_ for type_ in types]
    names = [f"k{number}" for number in range(len(types))]
    columns = ", ".join(f"{name} {type_}" for name, type_ in zip(names, types, strict=True))
    direction = " DESC" if index == "DESC" else ""
    await database.execute(f"DROP TABLE IF EXISTS any_keys; CREATE TABLE any_keys (row_no int, {columns})")
    if index:
        await database.execute(f"CREATE INDEX ON any_keys ({', '.join(name + direction for name in reversed(names))})")
    given_keys = ", ".join(f"${number}::{type_}" for number, type_ in enumerate(types, 2))
    await database.executemany(
        f"INSERT INTO any_keys VALUES ($1, {given_keys})", [(number, *key) for number, key in enumerate(keys)]
    )
    source = SqlSource(connection, "any_keys")
    survey = await source.ranges(names, batch_size)
    read = [await source.read(part.range) for part in survey.ranges]
    assert [len(rows) for rows in read] == [part.rows for part in survey.ranges]
    assert survey.rows == len(keys)
    assert sorted(row.payload["row_no"] for rows in read for row in rows) == list(range(len(keys)))
    assert [row.position for rows in read for row in rows] == list(range(len(keys)))
    seen = [{keys[row.payload["row_no"]] for row in rows} for rows in read]
    assert sum(map(len, seen)) == len(set().union(*seen))  # no key is in two ranges


async def active(database):
    return await database.fetch(
        "SELECT state, query FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'", APPLICATION_NAME
    )


SLOW = """
    CREATE FUNCTION slow() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(600)';
    CREATE VIEW slow AS SELECT id FROM slow() AS s (id);
    CREATE TABLE fast (id int);
"""


@pytest.mark.parametrize("method", ["count", "ranges"])
async def test_a_count_of_minutes_holds_no_loop_and_ends_on_the_server_when_cancelled(database, connection, method):
    await database.execute(SLOW)
    source = SqlSource(connection, "slow")
    asked = source.count() if method == "count" else source.ranges(["id"], 10)
    async with held_loop_at_most(0.5):
        counting = asyncio.create_task(asked)
        await eventually_async(lambda: active(database))
        started = time.perf_counter()
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting
    assert time.perf_counter() - started < 2
    await eventually_async(lambda: _none(active(database)))


async def _none(found):
    return not await found


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(database, empty_database_url):
    await database.execute(SLOW)
    connection = sql_connection(empty_database_url, survey_seconds=0.2)
    with pytest.raises(SourceTimeout, match="57014") as slow:
        await SqlSource(connection, "slow").count()
    assert slow.value.retryable
    assert not await active(database)
    await connection.aclose()


async def test_sessions_are_read_only_named_and_leave_no_transaction_open(database, connection):
    await make_lines(database, 100)
    source = SqlSource(connection, "line")
    await read_all(source, await source.ranges(["transaction", "line"], 10))
    async with connection.reading() as session:
        assert await session.fetchval("SHOW transaction_read_only") == "on"
        assert await session.fetchval("SHOW statement_timeout") == "1min"
    states = await database.fetch("SELECT state FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME)
    assert [row["state"] for row in states] == ["idle"]
    with pytest.raises(Unreadable, match="25006"):
        async with connection.reading() as session:
            await session.execute("DELETE FROM line")


async def test_many_ranges_are_read_at_once_over_few_sessions(database, connection):
    await make_lines(database, 2000)
    source = SqlSource(connection, "line")
    survey = await source.ranges(["transaction", "line"], 50)
    read = await asyncio.gather(*(source.read(part.range) for part in survey.ranges))
    assert [row.position for rows in read for row in rows] == list(range(2000))
    sessions = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    assert sessions <= 4


async def test_an_absent_source_and_a_wrong_account_are_distinguished(empty_database_url, unused_tcp_port):
    unreachable = sql_connection(f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d")
    with pytest.raises(SourceUnavailable) as error:
        await SqlSource(unreachable, "line").count()
    assert error.value.retryable
    assert "geheim" not in str(error.value)
    wrong = sql_connection(urlunsplit(urlsplit(empty_database_url)._replace(path="/no_such_database")))
    with pytest.raises(SourceRefused) as error:
        await SqlSource(wrong, "line").count()
    assert not error.value.retryable
    for connection in (unreachable, wrong):
        await connection.aclose()


async def test_a_table_that_the_account_may_not_read_is_refused(database, empty_database_url):
    await make_lines(database, 1)
    await database.execute("CREATE ROLE reader_of_nothing")
    try:
        reader = sql_connection(in_role(empty_database_url, "reader_of_nothing"))
        with pytest.raises(SourceRefused, match="grant it SELECT"):
            await SqlSource(reader, "line").count()
        await reader.aclose()
    finally:
        await database.execute("DROP ROLE reader_of_nothing")


async def test_a_session_that_an_operator_ends_is_reported_as_absence_and_the_next_call_works(database, connection):
    await database.execute(SLOW)
    counting = asyncio.create_task(SqlSource(connection, "slow").count())
    await eventually_async(lambda: active(database))
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    with pytest.raises(SourceUnavailable):
        await counting
    assert await SqlSource(connection, "fast").count() == 0


@pytest.mark.long
async def test_millions_of_rows_are_surveyed_in_seconds_and_read_at_the_same_cost_everywhere(database, connection):
    rows = 4_812_213
    await make_lines(database, rows)
    await database.execute("VACUUM line")
    source = SqlSource(connection, "line")
    started = time.perf_counter()
    async with held_loop_at_most(1):
        survey = await source.ranges(["transaction", "line"], 500)
    seconds = time.perf_counter() - started
    assert (survey.rows, len(survey.ranges)) == (rows, 9625)
    started = time.perf_counter()
    for part in survey.ranges:
        assert len(await source.read(part.range)) == part.rows
    print(f"\nsurveyed in {seconds:.2f} s, {rows / (time.perf_counter() - started):.0f} rows/s")  # noqa: T201
    # Alternately, so that what else this machine does slows both alike.
    pairs = [
        (await cost(source, first), await cost(source, last))
        for first, last in zip(survey.ranges[:50], survey.ranges[-51:-1], strict=True)
    ]
    first, last = (sorted(costs)[25] for costs in zip(*pairs, strict=True))
    print(f"first {first * 1000:.2f} ms, last {last * 1000:.2f} ms")  # noqa: T201
    assert seconds < 30
    assert last < first * 1.2


async def cost(source, part):
    before = time.perf_counter()
    await source.read(part.range)
    return time.perf_counter() - before


async def test_reading_and_surveying_have_sessions_of_their_own_and_waiting_for_one_is_no_failure(
    database, empty_database_url
):
    await make_lines(database, 10)
    await database.execute(SLOW)
    connection = sql_connection(empty_database_url, size=1, connect_seconds=1, read_seconds=30)
    line = SqlSource(connection, "line")
    survey = await line.ranges(["transaction", "line"], 5)
    counting = [asyncio.create_task(SqlSource(connection, "slow").count()) for _ in range(4)]
    async with connection.reading() as session:  # for longer than connecting may take
        waiting = [asyncio.create_task(line.read(part.range)) for part in survey.ranges]
        await session.execute("SELECT pg_sleep(1.5)")
        assert not any(task.done() for task in waiting)
    assert [len(await task) for task in waiting] == [5, 5]
    for task in counting:
        task.cancel()
    await asyncio.gather(*counting, return_exceptions=True)
    await eventually_async(lambda: _none(active(database)))
    await connection.aclose()
