"""Keys of a table are the same text where PostgreSQL finds them equal, and another where it doesn't."""

from collections import defaultdict
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from domain.key_forms import KeyForm
from sources.keys import key_text, spelled_key_text
from sources.sql.source import SqlSource
from tests.support.reading_sources import read_all, sql_connection

SPELLED = {
    "numeric": "1 1.0 1.00 1.001 1.0010 10 100 100.0 0 0.0 -0 -0.00 -1.50 -1.5 0.10 1e3 1000.000 1234567890123456.0",
    "numeric[]": "{1.0} {1.00} {1,2} {1.0,2.00} {}",
    "char(5)": "a ab abc",
    "bpchar": "a a_ a__ _a a_b",
    "float8": "0 -0 1 1.0 0.1 1e300 -1",
    "float4": "0 -0 0.1 0.10 16777216",
    "timestamptz": "2024-01-01T00:00:00Z 2024-01-01T02:00:00+02 2024-01-01T00:00:01Z",
    "inet": "10.0.0.1 10.0.0.1/32 10.0.0.1/8 ::1",
    "text": "1.0 1.00 a A a_ -0 0",
    "bigint": "1 -1 10 0",
    "boolean": "t true f",
    "uuid": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11 a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "bytea": r"\x00 \x0000",
}
"""Spellings of values, in which `_` is a blank."""


@pytest.mark.parametrize("key", [["k"], ["k", "other"]])
async def test_exactly_the_values_that_postgresql_finds_equal_are_one_key(database, empty_database_url, key):
    connection = sql_connection(empty_database_url)
    for number, (type_, spelled) in enumerate(SPELLED.items()):
        values = [value.replace("_", " ") for value in spelled.split(" ")]
        await database.execute(f"CREATE TABLE keyed_{number} (id int, k {type_}, other int)")
        await database.executemany(
            f"INSERT INTO keyed_{number} VALUES ($1, $2::text::{type_}, 0)", list(enumerate(values))
        )
        groups = await database.fetch(f"SELECT array_agg(id ORDER BY id) AS ids FROM keyed_{number} GROUP BY k")
        source = SqlSource(connection, f"keyed_{number}")
        found = defaultdict(list)
        for row in await read_all(source, await source.ranges(key, 100)):
            found[key_text(key)(row.payload)].append(row.payload["id"])
        assert sorted(map(sorted, found.values())) == sorted(row["ids"] for row in groups), type_
    await connection.aclose()


async def test_ranges_are_cut_by_the_value_of_a_key_not_by_a_users_own_cast_to_text(database, empty_database_url):
    await database.execute(
        """
        CREATE TYPE grade AS ENUM ('a', 'b', 'c', 'd');
        CREATE FUNCTION turned(grade) RETURNS text LANGUAGE sql IMMUTABLE
            AS $$ SELECT translate(format('%s', $1), 'bcd', 'dbc') $$;
        CREATE CAST (grade AS text) WITH FUNCTION turned(grade);
        CREATE TABLE graded AS SELECT g::grade AS id FROM unnest(ARRAY['a', 'b', 'c', 'd']) AS g;
        """
    )
    connection = sql_connection(empty_database_url)
    source = SqlSource(connection, "graded")
    survey = await source.ranges(["id"], 1)
    assert [[row.payload["id"] for row in await source.read(part.range)] for part in survey.ranges] == [
        *map(list, "abcd")
    ]
    await connection.aclose()


async def test_a_payload_keeps_the_spelling_and_only_the_key_loses_it(database, empty_database_url):
    await database.execute("CREATE TABLE keyed AS SELECT 1.50 AS n, 'a'::char(3) AS c, '-0'::float8 AS f")
    connection = sql_connection(empty_database_url)
    source = SqlSource(connection, "keyed")
    (row,) = await read_all(source, await source.ranges(["n", "c", "f"], 5))
    assert repr(row.payload) == "{'n': '1.50', 'c': 'a  ', 'f': -0.0}"
    assert key_text(["n", "c", "f"])(row.payload) == '["1.5","a",0.0]'
    assert spelled_key_text(["n", "c", "f"])(row.payload) == '["1.50","a  ",-0.0]'
    await connection.aclose()


async def test_a_decimal_of_parquet_that_is_rescaled_keeps_its_key(root, open_file):
    keys = []
    for scale in (1, 3):
        values = pa.array([Decimal(1), Decimal("2.5"), Decimal(-10)], pa.decimal128(9, scale))
        parquet.write_table(pa.table({"k": values}), root / f"scale{scale}.parquet")
        source = open_file(f"scale{scale}.parquet")
        survey = await source.ranges(["k"], 5)
        assert survey.key_forms == [KeyForm.DIGITS]
        rows = await read_all(source, survey)
        assert rows[0].payload == {"k": f"1.{'0' * scale}"}
        keys.append([key_text(["k"])(row.payload) for row in rows])
    assert keys == [["1", "2.5", "-10"]] * 2
