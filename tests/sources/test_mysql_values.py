"""Values of MariaDB in a payload: as docs/reference/sources/mysql.md says, and as its own client shows them."""

import base64
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from sources.mysql.source import MysqlSource
from tests.support.reading_sources import mysql_connection, read_all

EXAMPLE = re.compile(r"^\| `([^`|]+)` \| `([^`]+)` \| (?:`([^`]+)`|(reject))", re.MULTILINE)
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sources" / "mysql.md").read_text()
EXAMPLES = EXAMPLE.findall(PAGE.split("\n## Values")[1])


async def rows_of(mariadb, table, *key):
    server, database = mariadb
    async with mysql_connection(server.url(database), f"{database}.{table}") as connection:
        source = MysqlSource(connection, table)
        return await read_all(source, await source.ranges(key or ["id"], 100))


async def test_the_examples_of_the_documentation_are_read_as_documented(mariadb):
    server, database = mariadb
    assert len(EXAMPLES) > 35
    names = [f"v{number}" for number in range(len(EXAMPLES))]
    columns = ", ".join(f"{name} {type_}" for name, (type_, *_) in zip(names, EXAMPLES, strict=True))
    rows = "".join(
        f"INSERT INTO thing (id, {name}) VALUES ({number}, {expression});"
        for number, (name, (_, expression, *_)) in enumerate(zip(names, EXAMPLES, strict=True))
    )
    nullable = columns.replace(" timestamp(3)", " timestamp(3) null")
    server.run(
        f"SET sql_mode = '', time_zone = '+00:00'; CREATE TABLE thing (id int primary key, {nullable}); {rows}",
        database=database,
    )
    for row, name, (_, expression, payload, is_reject) in zip(
        await rows_of(mariadb, "thing"), names, EXAMPLES, strict=True
    ):
        assert (row.defect or "").startswith(f"{name} ") == bool(is_reject), (expression, row.defect)
        assert (name in row.payload) != bool(is_reject)
        if payload:
            assert row.defect is None, expression
            assert json.dumps(row.payload[name]) == json.dumps(json.loads(payload)), expression


async def test_settings_that_change_the_text_of_values_are_pinned(mariadb):
    server, database = mariadb
    server.run(
        "SET time_zone = '+00:00';"
        "CREATE TABLE thing (id int primary key, at timestamp, c char(4), d double, t text);"
        "INSERT INTO thing VALUES (1, '2024-02-29 01:02:03', 'ab', 0.1, 'Zoë');"
        "SET GLOBAL time_zone = '+05:30'; SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES';"
        "SET GLOBAL character_set_results = latin1; SET GLOBAL sql_select_limit = 0",
        database=database,
    )
    try:
        (row,) = await rows_of(mariadb, "thing")
    finally:
        server.run(
            "SET GLOBAL time_zone = 'SYSTEM'; SET GLOBAL sql_mode = DEFAULT;"
            "SET GLOBAL character_set_results = DEFAULT; SET GLOBAL sql_select_limit = DEFAULT"
        )
    assert row.payload == {"id": 1, "at": "2024-02-29T01:02:03+00:00", "c": "ab", "d": 0.1, "t": "Zoë"}


async def test_a_function_of_a_view_that_sets_the_session_changes_nothing_for_others(mariadb):
    server, database = mariadb
    server.run(
        "SET time_zone = '+00:00'; CREATE TABLE thing (id int primary key, at timestamp);"
        "INSERT INTO thing VALUES (1, '2024-02-29 01:02:03');"
        "CREATE FUNCTION careless() RETURNS int DETERMINISTIC RETURN 1;"
        "CREATE VIEW shown AS SELECT id, at, careless() AS n FROM thing",
        database=database,
    )
    server.run(
        "DROP FUNCTION careless;\nDELIMITER //\n"
        "CREATE FUNCTION careless() RETURNS int BEGIN SET SESSION time_zone = '+09:00'; RETURN 1; END//",
        database=database,
    )
    names = [f"{database}.{name}" for name in ("shown", "thing")]
    async with mysql_connection(server.url(database), *names, size=1) as connection:
        view = MysqlSource(connection, "shown")
        survey = await view.ranges(["id"], 10)
        await read_all(view, survey)
        (row,) = await read_all(view, survey)
        assert row.payload["at"] == "2024-02-29T01:02:03+00:00"


NUMBERS = [0.1, 1 / 3, 1e22, 5e-324, 16777216.0, 123456789.0, 1.17549435e-38, 3.4028234663852886e38, -2.5]


async def test_floats_are_the_shortest_digits_that_mean_the_same(mariadb):
    server, database = mariadb
    rows = ", ".join(f"({n}, {v!r}, {v!r})" for n, v in enumerate(NUMBERS))
    server.run(
        f"SET sql_mode = ''; CREATE TABLE thing (id int primary key, d double, f float);"
        f"INSERT INTO thing VALUES {rows}",
        database=database,
    )
    exact = server.run("SELECT CAST(f AS DOUBLE) FROM thing ORDER BY id", database=database)
    for row, number, (single,) in zip(await rows_of(mariadb, "thing"), NUMBERS, exact, strict=True):
        assert row.payload["d"] == number
        shown = row.payload["f"]
        as_stored = server.run(f"SELECT CAST(CAST({shown!r} AS FLOAT) AS DOUBLE)")[0][0]
        assert float(as_stored) == float(single)
        assert len(Decimal(repr(shown)).normalize().as_tuple().digits) <= 9


@pytest.mark.parametrize("charset", ["latin1", "cp1251", "sjis", "ucs2", "utf16", "utf32", "utf8mb3", "big5", "euckr"])
async def test_text_of_any_character_set_is_decoded_as_by_the_server_and_nothing_is_replaced(mariadb, charset):
    server, database = mariadb
    server.run(
        f"SET sql_mode = ''; CREATE TABLE thing (id int primary key, v varchar(20) CHARACTER SET {charset});"
        "INSERT INTO thing VALUES (1, 'plain ~'), (2, '漢字'), (3, 'Жар'), (4, 'é'), (5, ''), (6, NULL)",
        database=database,
    )
    shown = {
        int(number): bytes.fromhex(text).decode() if text != "NULL" else None
        for number, text in server.run("SELECT id, HEX(CONVERT(v USING utf8mb4)) FROM thing", database=database)
    }
    rows = await rows_of(mariadb, "thing")
    assert {row.payload["id"]: row.payload.get("v") for row in rows} == shown
    assert all(row.defect is None for row in rows)


async def test_bytes_that_a_blob_holds_are_those(mariadb):
    server, database = mariadb
    server.run(
        "CREATE TABLE thing (id int primary key, v longblob, b bit(64)); INSERT INTO thing VALUES"
        "(1, UNHEX('00ff5c27220a0d1a'), b'1'), (2, REPEAT(X'ff', 3000000), ~0)",
        database=database,
    )
    small, large = await rows_of(mariadb, "thing")
    assert base64.b64decode(small.payload["v"]) == bytes.fromhex("00ff5c27220a0d1a")
    assert (small.payload["b"], large.payload["b"]) == ("1".zfill(64), "1" * 64)
    assert base64.b64decode(large.payload["v"]) == b"\xff" * 3_000_000
