"""SQLite files as sources: what is imported is what SQLite itself reads of a file and its journals, value by value."""

import asyncio
import base64
import json
import math
import random
import shutil
import sqlite3
import sys
from contextlib import aclosing, closing

import pytest

from domain.sources.sqlite import SqliteSource
from sources.errors import (
    SourceChanged,
    SourceForbidden,
    SourceMissing,
    SourceUnavailable,
    UnknownColumn,
    Unreadable,
)
from sources.opening import ImportRoot
from sources.sqlite import conversion
from sources.sqlite.database import opened
from sources.sqlite.opening import Opener
from sources.staged.parser import Limits, Parser
from tests.support.reading_sources import ParserHere, payloads, read_all


@pytest.fixture
def write(root):
    """Write a file below the root by statements; return nothing open."""

    def write_(statements, *rows, name="shop.db"):
        with closing(sqlite3.connect(root / name)) as database:
            database.executescript(statements)
            for statement, values in rows:
                database.execute(statement, values)
            database.commit()

    return write_


@pytest.fixture
def open_table(root, staging):
    """Open a table of a file below the root, read in this process unless a parser is given."""

    def open_(name="thing", path="shop.db", parser=None):
        return Opener(ImportRoot(root, staging, parser or ParserHere())).open(SqliteSource(path, name))

    return open_


async def rows_of(source, *key, batch_size=100):
    async with aclosing(source):
        return await read_all(source, await source.ranges(key or ["id"], batch_size))


def by_hand(path, name):
    """The rows as the sqlite3 module reads them, in the form that the documentation promises."""
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = lambda encoded: ("text", encoded)
        cursor = database.execute(f'SELECT * FROM "{name}"')
        names = [column for column, *_ in cursor.description]
        promised = [dict(zip(names, map(as_promised, row), strict=True)) for row in cursor]
    return [{name: value for name, value in row.items() if value != "reject"} for row in promised]


def as_promised(value):
    match value:
        case ("text", encoded):
            try:
                text = encoded.decode()
            except UnicodeDecodeError:
                return "reject"
            return "reject" if "\0" in text else text
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return "reject"
        case _:
            return value


ODD_VALUES = [
    0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, 1e22, 5e-324, 1.0, -1.5, math.inf, -math.inf, "", " a ", "Zoë", "007",
    "1e5", "a\0b", "\U0001f600", b"", b"\x00\xff", b"text", None, "null", '"', "\\",
]  # fmt: skip


async def test_every_value_is_read_as_by_sqlite_for_any_declared_type(write, open_table, root):
    declared = ["INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "", "DECIMAL(10,2)", "DATETIME", "BOOLEAN"]
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(declared))
    insert = f"INSERT INTO thing VALUES (?, {', '.join('?' * len(declared))})"
    write(
        f"CREATE TABLE thing (id INTEGER PRIMARY KEY, {columns})",
        *((insert, (number, *[value] * len(declared))) for number, value in enumerate(ODD_VALUES)),
    )
    rows = await rows_of(open_table(), batch_size=7)
    wanted = by_hand(root / "shop.db", "thing")
    assert [json.loads(json.dumps(row.payload)) for row in rows] == wanted
    assert [list(map(type, row.payload.values())) for row in rows] == [list(map(type, row.values())) for row in wanted]
    assert [row.position for row in rows] == list(range(len(ODD_VALUES)))
    defects = {number: row.defect for number, row in enumerate(rows) if row.defect}
    assert set(defects) == {ODD_VALUES.index(value) for value in (math.inf, -math.inf, "a\0b")}
    assert defects[ODD_VALUES.index(math.inf)] == "c0 is inf, which JSON has no word for"


async def test_text_that_is_not_utf8_rejects_its_row_and_names_the_column(write, open_table):
    write("CREATE TABLE thing (id, name); INSERT INTO thing VALUES (1, CAST(x'ff61' AS TEXT)), (2, 'a')")
    bad, good = await rows_of(open_table())
    assert (bad.payload, bad.defect) == ({"id": 1}, "name isn't valid UTF-8")
    assert good.payload == {"id": 2, "name": "a"}


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
async def test_text_of_a_database_in_utf16_is_the_same_text(write, open_table, encoding):
    write(
        f"PRAGMA encoding = '{encoding}'; CREATE TABLE thing (id, name);"
        "INSERT INTO thing VALUES ('é', 'Zoë'), ('b', CAST(x'd8d8' AS TEXT))"
    )
    good, bad = await rows_of(open_table())
    assert good.payload == {"id": "é", "name": "Zoë"}
    assert (bad.payload, bad.defect) == ({"id": "b"}, "name isn't valid UTF-16")


async def test_tables_of_every_kind_and_views_are_read(write, open_table):
    write(
        """
        CREATE TABLE thing (id INTEGER PRIMARY KEY, a, b AS (a * 2), c AS (a * 3) STORED, "odd ""na"" me", [select]);
        INSERT INTO thing (id, a) VALUES (3, 1), (1, 2);
        CREATE INDEX by_a ON thing (a);
        CREATE TABLE bare (k TEXT, n INT, PRIMARY KEY (k, n)) WITHOUT ROWID;
        INSERT INTO bare VALUES ('b', 1), ('a', 2);
        CREATE TABLE strict (id INT, v ANY) STRICT; INSERT INTO strict VALUES (1, 1.0);
        CREATE VIEW sums AS SELECT k AS id, sum(n) AS total, count(*) FROM bare GROUP BY k ORDER BY k;
        """
    )
    odd = {'odd "na" me': None, "select": None}
    assert payloads(await rows_of(open_table())) == [
        {"id": 1, "a": 2, "b": 4, "c": 6, **odd},
        {"id": 3, "a": 1, "b": 2, "c": 3, **odd},
    ]
    assert payloads(await rows_of(open_table("bare"), "k", "n")) == [{"k": "a", "n": 2}, {"k": "b", "n": 1}]
    assert payloads(await rows_of(open_table("strict"))) == [{"id": 1, "v": 1.0}]
    assert payloads(await rows_of(open_table("sums")))[0] == {"id": "a", "total": 2, "count(*)": 1}


async def test_rows_in_the_write_ahead_log_are_read_and_the_original_is_unchanged(root, open_table):
    with closing(sqlite3.connect(root / "shop.db")) as writer:
        writer.executescript("PRAGMA journal_mode = WAL; CREATE TABLE thing (id); INSERT INTO thing VALUES (1)")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO thing VALUES (2)")
        writer.commit()
        writer.execute("INSERT INTO thing VALUES (3)")  # isn't committed
        before = {path.name: path.read_bytes() for path in root.iterdir()}
        assert before["shop.db-wal"]
        assert payloads(await rows_of(open_table())) == [{"id": 1}, {"id": 2}]
        assert {path.name: path.read_bytes() for path in root.iterdir()} == before
        writer.commit()
        assert payloads(await rows_of(open_table())) == [{"id": 1}, {"id": 2}, {"id": 3}]


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA cache_size = 1")
database.execute("UPDATE thing SET v = replace(v, 'before', 'after!')")
os.kill(os.getpid(), 9)
"""
"""A writer that has written to the database, and dies before its commit."""


async def test_a_write_that_was_cut_off_is_taken_back(root, open_table, write):
    write(
        "CREATE TABLE thing (id, v); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
        "INSERT INTO thing SELECT i, 'before' || hex(zeroblob(1000)) FROM n"
    )
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(root / "shop.db"))
    await writer.wait()
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    assert b"after!" in before["shop.db"]
    assert before["shop.db-journal"]
    rows = await rows_of(open_table())
    assert {row.payload["v"][:6] for row in rows} == {"before"}
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before


async def test_rows_that_share_a_key_are_found_across_batches(write, open_table):
    write("CREATE TABLE thing (id); INSERT INTO thing VALUES (1), ('1'), (1.0), ('a'), ('A'), ('a'), (NULL), (x'00')")
    rows = await rows_of(open_table(), batch_size=1)
    assert [row.is_repeated for row in rows] == [False, True, False, False, False, True, False, False]
    write("DELETE FROM thing; INSERT INTO thing SELECT 'x' FROM thing AS a")
    with pytest.raises(UnknownColumn, match='has no column "ID": it has "id"'):
        await rows_of(open_table(), "ID")


async def test_a_range_is_the_same_rows_once_the_file_has_changed_or_gone(write, open_table, root, staging):
    write("CREATE TABLE thing (id); INSERT INTO thing VALUES (1), (2)")
    write("CREATE TABLE other (id); INSERT INTO other VALUES (7)")
    source = open_table()
    survey = await source.ranges(["id"], 1)
    write("DELETE FROM thing")
    assert payloads(await read_all(source, survey)) == [{"id": 1}, {"id": 2}]
    assert payloads(await rows_of(open_table("other"))) == [{"id": 7}]
    assert await open_table().count() == 0
    (root / "shop.db").unlink()
    assert payloads(await read_all(open_table(), survey)) == [{"id": 1}, {"id": 2}]
    shutil.rmtree(staging)
    write("CREATE TABLE thing (id); INSERT INTO thing VALUES (3)")
    with pytest.raises(SourceChanged):
        await open_table().read(survey.ranges[0].range)


async def test_a_file_that_is_written_while_it_is_read_is_unavailable_for_now(
    write, open_table, root, staging, monkeypatch
):
    write("CREATE TABLE thing (id); INSERT INTO thing VALUES (1)")
    convert_table = conversion.convert_table

    def convert_and_write(*arguments):
        content = convert_table(*arguments)
        write("INSERT INTO thing VALUES (2)")
        return content

    monkeypatch.setattr(conversion, "convert_table", convert_and_write)
    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        await open_table().count()
    assert not list(staging.glob("*"))


REFUSED = [
    ("CREATE VIEW thing AS SELECT load_extension('evil')", "thing", "unsafe use of load_extension"),
    ("CREATE VIEW thing AS SELECT * FROM pragma_database_list", "thing", "select|unsafe|authorized|prohibited"),
    ("CREATE VIEW thing AS SELECT mine(1) AS id", "thing", "no such function: mine"),
    ("CREATE VIRTUAL TABLE thing USING fts5(id)", "thing", "is a virtual table"),
    ("CREATE VIRTUAL TABLE words USING fts5(id); CREATE VIEW thing AS SELECT * FROM words", "thing", "unsafe"),
]


@pytest.mark.parametrize(("statements", "name", "words"), REFUSED)
async def test_a_view_may_select_and_nothing_else(write, open_table, statements, name, words):
    write(statements)
    with pytest.raises(Unreadable, match=words):
        await open_table(name).count()


@pytest.mark.parametrize("has_journal", [False, True])
def test_a_copy_is_not_written_to(write, root, has_journal):
    write("CREATE TABLE thing (id)")
    with (
        pytest.raises(Unreadable, match="readonly"),
        opened(root / "shop.db", has_journal=has_journal) as (database, _),
    ):
        database.execute("INSERT INTO thing VALUES (1)")


@pytest.mark.parametrize("name", ["nothing", "Thing", "sqlite_master", "sqlite_sequence", 'thing"; DROP TABLE thing;'])
async def test_only_a_table_or_view_of_the_file_is_read_by_its_very_name(write, open_table, name):
    write("CREATE TABLE thing (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO thing DEFAULT VALUES")
    with pytest.raises(SourceMissing, match="has no table"):
        await open_table(name).count()


async def test_a_damaged_file_and_a_file_that_is_no_database_are_unreadable(write, open_table, root):
    (root / "shop.db").write_bytes(b"id,name\n1,a\n" * 100)
    with pytest.raises(Unreadable, match=r'^"shop\.db": It is no SQLite 3 database'):
        await open_table().count()
    (root / "shop.db").unlink()
    write(
        "CREATE TABLE thing (id, v); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        "INSERT INTO thing SELECT i, hex(i) FROM n"
    )
    content = bytearray((root / "shop.db").read_bytes())
    content[8192:12288] = random.Random(1).randbytes(4096)
    (root / "shop.db").write_bytes(content)
    with pytest.raises(Unreadable, match="is damaged"):
        await open_table().count()
    (root / "shop.db").write_bytes(content[:9000])
    with pytest.raises(Unreadable, match=r"is damaged"):
        await open_table().count()


async def test_a_journal_that_leads_out_of_the_root_is_not_followed(write, open_table, root, tmp_path):
    write("CREATE TABLE thing (id)")
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "shop.db-wal").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceForbidden):
        await open_table().count()


async def test_a_table_without_rows_and_large_values_are_read(write, open_table):
    write("CREATE TABLE thing (id, v); CREATE TABLE empty (id)")
    assert await rows_of(open_table("empty")) == []
    write("INSERT INTO thing VALUES (1, zeroblob(3000000)), (2, zeroblob(3000000))")
    rows = await rows_of(open_table())
    assert [len(row.payload["v"]) for row in rows] == [4_000_000, 4_000_000]
    write("INSERT INTO thing VALUES (3, zeroblob(17000000))")
    with pytest.raises(Unreadable, match="a value is longer than"):
        await open_table().count()


async def test_a_database_is_read_in_a_process_with_limits(write, open_table, root, staging):
    write("CREATE TABLE thing (id); INSERT INTO thing VALUES (1)")
    assert payloads(await rows_of(open_table(parser=Parser()))) == [{"id": 1}]
    with pytest.raises(SourceMissing, match=r'There is no file "other\.db"'):
        await open_table(path="other.db", parser=Parser()).count()
    write(
        "CREATE VIEW endless AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n;"
        "CREATE VIEW wide AS SELECT group_concat(hex(zeroblob(8000000))) AS id FROM (VALUES (1), (2), (3), (4))"
    )
    small = Parser(Limits(memory_bytes=64 << 20, staged_bytes=1 << 20, seconds=60))
    for name in ("endless", "wide"):
        with pytest.raises(Unreadable):
            await open_table(name, parser=small).count()
    assert [path for path in staging.iterdir() if not path.name.startswith("v")] == []
