import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.errors import (
    SourceChanged,
    SourceForbidden,
    SourceMissing,
    SourceUnavailable,
    TooManyBatches,
    UnknownColumn,
    Unreadable,
)
from sources.file import conversion
from sources.file.source import FileSource
from sources.staged.writer import ROW_GROUP_ROWS
from tests.support.reading_sources import ParserHere, compress, make, payloads, read_all

CSV = b'id,name,note\n007,Ann,"a\nb"\n010,"","D""q"\n011,,\n'
CSV_ROWS = [
    {"id": "007", "name": "Ann", "note": "a\nb"},
    {"id": "010", "name": "", "note": 'D"q'},
    {"id": "011", "name": None, "note": None},
]


@pytest.mark.parametrize("name", ["rows.csv", "rows.CSV.gz"])
async def test_every_value_of_a_csv_is_the_text_it_is(root, open_file, name):
    compress(root / name, CSV)
    source = open_file(name)
    assert await source.columns() == ("id", "name", "note")
    assert await source.count() == 3
    survey = await source.ranges(["id"], 2)
    assert [part.rows for part in survey.ranges] == [2, 1]
    rows = await read_all(source, survey)
    assert payloads(rows) == CSV_ROWS
    assert [row.position for row in rows] == [0, 1, 2]
    assert not any(row.defect for row in rows)
    assert await source.read(survey.ranges[1].range) == rows[2:]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", [{"a": "1", "b": "2"}]),
        (b"a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        (b"a\tb\n1\t2,3\n", [{"a": "1", "b": "2,3"}]),
        (b'"a,b"|c\n1|2\n', [{"a,b": "1", "c": "2"}]),
        (b"a\n1\n\n2\n", [{"a": "1"}, {"a": "2"}]),
        (b"ID,id\n1,2\n", [{"ID": "1", "id": "2"}]),
        (b"file_row_number,c0\n1,2", [{"file_row_number": "1", "c0": "2"}]),
        (b'a,b\n1,"x\r\ny"\n', [{"a": "1", "b": "x\r\ny"}]),
        (b'a,b\r\n1,"x\ny"\r\n', [{"a": "1", "b": "x\ny"}]),
        (b"a,b\n", []),
    ],
)
async def test_csv_is_read_as_its_first_line_says(root, open_file, content, wanted):
    (root / "rows.csv").write_bytes(content)
    source = open_file("rows.csv")
    assert payloads(await read_all(source, await source.ranges(list(wanted[0]) if wanted else [], 10))) == wanted


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("rows.csv", b"", "It is empty: its first line must name the columns"),
        ("rows.csv", b"\n1,2\n", "first line is empty"),
        ("rows.csv", b"a,a\n1,2\n", 'columns 1 and 2 are both "a"'),
        ("rows.csv", b"a,\n1,2\n", "column 2 has none"),
        ("rows.csv", b'"a,b\n1,2\n', "Line 1 has a stray quote.*never closed"),
        ("rows.csv", b"\xff\xfd\n1,2\n", "first line must name the columns, and isn't UTF-8"),
        ("rows.csv", b'a,b\n1,2\n3,"x"y\n', "Line 3 has a stray quote.*behind a closing quote"),
        ("rows.csv", b'a,b\n1,"open\n2,3\n4,5\n', "Line 2 has a stray quote.*never closed"),
        ("rows.csv.gz", b"a,b\n1,2\n", r"gzip is damaged \(incorrect header check\)"),
        ("rows.parquet", b"PAR1 and nothing", "It can't be read as Parquet"),
    ],
)
async def test_a_file_that_is_not_of_its_format_is_unreadable_and_leaves_nothing(root, open_file, name, content, why):
    (root / name).write_bytes(content)
    with pytest.raises(Unreadable, match=why) as unreadable:
        await open_file(name).count()
    assert unreadable.value.detail.startswith(f'"{name}": ')
    assert str(root) not in unreadable.value.detail
    assert "/dev/fd" not in unreadable.value.detail
    assert not list(root.parent.glob("staging/*"))


async def test_more_malformed_records_than_can_be_kept_are_reported_with_the_first(root, open_file):
    (root / "rows.csv").write_bytes(b"a,b\n1,2\n\n" + b"1\n" * 100_001)
    wanted = r"More than 100000 records make no sense.*the first is in line 4 \(it has 1 value instead of 2\)\. Mend"
    with pytest.raises(Unreadable, match=wanted):
        await open_file("rows.csv").count()


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.json", "rows.parquet.gz", "rows.csv.bz2", ".csv.gz.gz"])
def test_other_formats_are_refused_by_name(root, staging, name):
    with pytest.raises(Unreadable, match="no format that can be imported"):
        FileSource(root=root, path=name, staging_folder=staging, parser=ParserHere())


async def test_malformed_records_of_a_csv_become_rejects_and_none_is_lost(root, open_file):
    (root / "rows.csv").write_bytes(b"a,b\n1,2\n3\n4,5\n6,7,8\n9,\xff\n10,11\n")
    source = open_file("rows.csv")
    survey = await source.ranges(["a"], 4)
    assert (survey.rows, survey.is_complete) == (6, True)
    assert survey.detail == "3 records make no sense."
    rows = await read_all(source, survey)
    assert [row.position for row in rows] == list(range(6))
    assert payloads(rows[::2] + rows[5:]) == [{"a": "1", "b": "2"}, {"a": "4", "b": "5"}, {}, {"a": "10", "b": "11"}]
    assert [(row.position, row.line) for row in rows if row.defect] == [(1, 3), (3, 5), (4, 6)]
    assert [row.defect for row in rows if row.defect] == [
        "it has 1 value instead of 2",
        "it has 3 values instead of 2",
        "it isn't UTF-8",
    ]


LINES = (
    b'{"id": 1, "n": 1.5, "big": 123456789012345678901234567890, "in": {"a": [1, null, "\xc3\xa9"]}}\n'
    b"\n"
    b"  null\n"
    b"not json\n"
    b'{"id": 2, "id": 3}\n'
    b'{"id": 4, "s": "\\u0000"}\n'
    b'{"id": 5, "s": "\xff"}\n'
    b'{"id": 6, "x": NaN}\n'
    b"[1]\n"
    b'{"id": 7}{"id": 8}\n'
    b'{"id": "2024-01-01", "t": "007"}'
)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson.gz"])
async def test_a_line_of_json_is_a_row_or_a_reject(root, open_file, name):
    compress(root / name, LINES)
    source = open_file(name)
    assert {"id", "n", "big", "in", "t"} <= set(await source.columns())
    rows = await read_all(source, await source.ranges(["id"], 3))
    assert [row.position for row in rows] == list(range(10))
    assert rows[0].payload == {
        "id": 1,
        "n": 1.5,
        "big": "123456789012345678901234567890",
        "in": {"a": [1, None, "\u00e9"]},
    }
    assert rows[9].payload == {"id": "2024-01-01", "t": "007"}
    assert [row.position for row in rows if row.defect] == list(range(1, 9))
    assert all(row.defect.startswith("the line") for row in rows[1:9])


async def test_zstandard_is_read_too(root, open_file):
    make(root / "rows.csv.zst", "SELECT '007' AS id, 2 AS n", "(HEADER, COMPRESSION zstd)")
    make(root / "rows.jsonl.zst", "SELECT '007' AS id, 2 AS n", "(FORMAT json, COMPRESSION zstd)")
    for name, wanted in (("rows.csv.zst", {"id": "007", "n": "2"}), ("rows.jsonl.zst", {"id": "007", "n": 2})):
        source = open_file(name)
        assert payloads(await read_all(source, await source.ranges(["id"], 5))) == [wanted]


async def test_parquet_of_any_type_becomes_json(root, open_file):
    make(
        root / "rows.parquet",
        """
        SELECT 1::BIGINT AS i, 18446744073709551615::UBIGINT AS u,
            12.340::DECIMAL(10, 3) AS d, 1.5::DOUBLE AS f, 'x' AS t, true AS b, DATE '2024-02-29' AS day,
            TIMESTAMP '2024-02-29 01:02:03.5' AS ts, TIMESTAMPTZ '2024-02-29 01:02:03+02' AS tz,
            TIMESTAMP_NS '2024-02-29 01:02:03.123456789' AS ns, TIME '01:02:03' AS clock, 'ab'::BLOB AS bytes,
            '00000000-0000-0000-0000-000000000001'::UUID AS uuid, [1.5, NULL]::DECIMAL(3, 1)[] AS list,
            {'a': DATE '2024-01-01', 'b': [1]} AS struct, MAP {'k': 1} AS map, NULL::INTEGER AS nothing,
            '{"a": 1}'::JSON AS doc
        """,
    )
    source = open_file("rows.parquet")
    (row,) = await read_all(source, await source.ranges(["i"], 5))
    assert row.defect is None
    assert row.payload == {
        "i": 1,
        "u": "18446744073709551615",
        "d": "12.340",
        "f": 1.5,
        "t": "x",
        "b": True,
        "day": "2024-02-29",
        "ts": "2024-02-29T01:02:03.5",
        "tz": "2024-02-28T23:02:03+00:00",
        "ns": "2024-02-29T01:02:03.123456789",
        "clock": "01:02:03",
        "bytes": "YWI=",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "list": ["1.5", None],
        "struct": {"a": "2024-01-01", "b": [1]},
        "map": {"k": 1},
        "nothing": None,
        "doc": {"a": 1},
    }
    json.dumps(row.payload, allow_nan=False)


async def test_a_value_without_json_is_a_defect_of_its_row_alone(root, open_file):
    make(
        root / "rows.parquet",
        """
        SELECT * FROM (VALUES (1, 'NaN'::DOUBLE, DATE '2024-01-01'), (2, 1.5, 'infinity'::DATE), (3, 2.5, NULL))
            AS t (id, rate, day)
        """,
    )
    source = open_file("rows.parquet")
    rows = await read_all(source, await source.ranges(["id"], 5))
    assert [(row.payload, row.defect) for row in rows] == [
        ({"id": 1, "day": "2024-01-01"}, "rate is nan, which JSON has no word for"),
        ({"id": 2, "rate": 1.5}, "day is no date or time between the years 0001 and 9999"),
        ({"id": 3, "rate": 2.5, "day": None}, None),
    ]


async def test_a_key_that_the_file_lacks_is_refused_with_the_nearest(root, open_file):
    (root / "rows.csv").write_bytes(CSV)
    with pytest.raises(UnknownColumn, match='"nam": did you mean "name"'):
        await open_file("rows.csv").ranges(["id", "nam"], 2)


async def test_paths_that_leave_the_root_are_refused(root, staging, open_file, tmp_path):
    (tmp_path / "secret.csv").write_bytes(CSV)
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    for path in ("../secret.csv", "link.csv", str(tmp_path / "secret.csv")):
        with pytest.raises(SourceForbidden):
            await open_file(path).count()
    with pytest.raises(SourceMissing):
        await open_file("nothing.csv").count()
    assert not staging.exists()


cells = st.text(st.sampled_from('ab0",;\n|\t \u00e9\u65e5'), max_size=4)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=st.lists(st.lists(cells, min_size=3, max_size=3), max_size=30), batch_size=st.integers(1, 12))
async def test_ranges_partition_any_csv(root, staging, rows, batch_size):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["x", "y", "z"], *rows])
    (root / "rows.csv").write_text(text.getvalue())
    source = FileSource(root=root, path="rows.csv", staging_folder=staging, parser=ParserHere())
    survey = await source.ranges(["x"] if rows else [], batch_size)
    read = await read_all(source, survey)
    await source.aclose()
    assert survey.rows == sum(part.rows for part in survey.ranges) == len(rows)
    assert payloads(read) == [dict(zip("xyz", (cell or None for cell in row), strict=True)) for row in rows]
    assert [row.position for row in read] == list(range(len(rows)))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=st.integers(0, 200), batch_size=st.integers(1, 70), group=st.sampled_from([2048, 4096]))
async def test_ranges_partition_any_parquet(root, staging, rows, batch_size, group):
    make(root / "rows.parquet", f"SELECT i * 97 AS n FROM range({rows * 50}) AS r (i)", f"(ROW_GROUP_SIZE {group})")
    source = FileSource(root=root, path="rows.parquet", staging_folder=staging, parser=ParserHere())
    survey = await source.ranges(["n"], batch_size * 50)
    read = await read_all(source, survey)
    await source.aclose()
    assert survey.rows == rows * 50
    assert [row.payload["n"] for row in read] == [number * 97 for number in range(rows * 50)]


async def test_a_staged_file_is_found_again_and_another_content_is_staged_separately(root, staging, open_file):
    (root / "rows.csv").write_bytes(CSV)
    first, again = open_file("rows.csv"), open_file("rows.csv")
    survey = await first.ranges(["id"], 2)
    (staged,) = staging.glob("v*")
    written = (staged / "rows.parquet").stat()
    assert await again.ranges(["id"], 2) == survey
    assert (staged / "rows.parquet").stat().st_mtime_ns == written.st_mtime_ns
    (root / "rows.csv").write_bytes(CSV + b"012,x,y\n")
    changed = open_file("rows.csv")
    assert await changed.count() == 4
    assert len(list(staging.glob("v*"))) == 2
    assert payloads(await read_all(changed, survey)) == CSV_ROWS  # the old ranges still mean the old rows
    (root / "rows.csv").unlink()
    assert payloads(await read_all(open_file("rows.csv"), survey)) == CSV_ROWS


async def test_a_worker_without_the_staged_form_makes_it_again_or_refuses_another_content(root, tmp_path, open_file):
    (root / "rows.csv").write_bytes(CSV)
    survey = await open_file("rows.csv").ranges(["id"], 2)
    elsewhere = FileSource(root=root, path="rows.csv", staging_folder=tmp_path / "elsewhere")
    assert payloads(await read_all(elsewhere, survey)) == CSV_ROWS
    await elsewhere.aclose()
    (root / "rows.csv").write_bytes(CSV + b"012,x,y\n")
    third = FileSource(root=root, path="rows.csv", staging_folder=tmp_path / "third")
    with pytest.raises(SourceChanged, match="no longer the file"):
        await third.read(survey.ranges[0].range)
    await third.aclose()


async def test_many_may_stage_one_file_at_once(root, staging):
    make(root / "rows.csv", "SELECT i AS id, 'x' AS t FROM range(100_000) AS r (i)", "(HEADER)")
    sources = [FileSource(root=root, path="rows.csv", staging_folder=staging, parser=ParserHere()) for _ in range(8)]
    surveys = await asyncio.gather(*(source.ranges(["id"], 5000) for source in sources))
    assert all(survey == surveys[0] for survey in surveys)
    assert [path.name.count(".") for path in staging.glob("v*")] == [0]
    rows = await asyncio.gather(*(source.read(surveys[0].ranges[-1].range) for source in sources))
    assert {len(row) for row in rows} == {5000}
    assert rows[0][-1].payload["id"] == "99999"
    for source in sources:
        await source.aclose()


async def test_a_file_that_changes_while_it_is_staged_is_not_taken(root, staging, open_file, monkeypatch):
    (root / "rows.csv").write_bytes(CSV)

    convert = conversion.convert

    def convert_and_append(*, file, format_, to):
        content = convert(file=file, format_=format_, to=to)
        with (root / "rows.csv").open("ab") as appended:
            appended.write(b"012,x,y\n")
        return content

    monkeypatch.setattr("sources.file.conversion.convert", convert_and_append)
    with pytest.raises(SourceUnavailable, match="changed while it was read") as changed:
        await open_file("rows.csv").count()
    assert changed.value.retryable
    assert not list(staging.glob("*"))


async def test_a_cancelled_read_leaves_the_others_alone(root, open_file):
    make(root / "rows.parquet", "SELECT i AS id FROM range(50_000) AS r (i)")
    source = open_file("rows.parquet")
    survey = await source.ranges(["id"], 500)
    reads = [asyncio.create_task(source.read(part.range)) for part in survey.ranges]
    for read in reads[::2]:
        await asyncio.sleep(0)
        read.cancel()
    read = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(row, asyncio.CancelledError) for row in read[2::2])
    assert [row.payload["id"] for item in read[1::2] for row in item] == [i for i in range(50_000) if i // 500 % 2]


async def test_a_file_of_too_many_batches_is_not_cut(root, open_file):
    make(root / "rows.parquet", "SELECT i AS id FROM range(300_001) AS r (i)")
    source = open_file("rows.parquet")
    with pytest.raises(TooManyBatches, match=r"give policy\.batch_size 4 or more") as raised:
        await source.ranges(["id"], 3)
    assert raised.value.rows == 300_001
    assert len((await source.ranges(["id"], 4)).ranges) == 75_001


async def _any(found):
    return list(found)


async def test_a_staged_form_unused_for_long_is_deleted_when_something_is_staged(root, staging, open_file):
    for name in ("old.csv", "new.csv", "newest.csv"):
        (root / name).write_bytes(CSV + name.encode() + b",,\n")
    for name in ("old.csv", "new.csv"):
        await open_file(name).count()
    (staging / "v1-csv-dead.0.unfinished").mkdir()
    old = next(path for path in staging.glob("v*-*") if "old.csv" in _first_rows(path))
    for path in (old / "about.json", staging / "v1-csv-dead.0.unfinished"):
        os.utime(path, (0, 0))
    await open_file("newest.csv").count()
    assert len(list(staging.glob("v*"))) == 2
    assert not old.exists()
    assert not list(staging.glob("*.unfinished"))


def _first_rows(path):
    if not (path / "rows.parquet").exists():
        return ""
    return str(duckdb.sql(f"SELECT * FROM '{path}/rows.parquet'").fetchall())


def test_duckdb_is_loaded_only_when_a_file_is_read_and_arrow_only_where_it_is_staged():
    program = "import sys, sources.configured; print({'duckdb', 'pyarrow'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


async def test_a_batch_decodes_a_few_row_groups_wherever_it_lies(root, staging, open_file):
    make(root / "rows.parquet", "SELECT i AS id FROM range(200_000) AS r (i)", "(ROW_GROUP_SIZE 200_000)")
    await open_file("rows.parquet").count()
    (staged,) = staging.glob("v*/rows.parquet")
    groups = duckdb.sql(f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{staged}')").fetchall()
    assert max(rows for (rows,) in groups) == ROW_GROUP_ROWS


@pytest.mark.long
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl.gz", "rows.parquet"])
async def test_the_last_batches_of_a_million_rows_cost_as_much_as_the_first(root, open_file, name):
    options = {"rows.csv": "(HEADER)", "rows.jsonl.gz": "(FORMAT json)", "rows.parquet": ""}[name]
    make(
        root / name,
        "SELECT i AS id, 'customer ' || hash(i) AS name, i % 7 AS line, i / 3 AS amount FROM range(1_000_000) AS r (i)",
        options,
    )
    source = open_file(name)
    started = time.perf_counter()
    survey = await source.ranges(["id"], 500)
    print(f"\n{name}: staged and surveyed in {time.perf_counter() - started:.2f} s")  # noqa: T201
    assert len(survey.ranges) == 2000
    started = time.perf_counter()
    for part in survey.ranges:
        assert len(await source.read(part.range)) == 500
    print(f"{name}: {1_000_000 / (time.perf_counter() - started):.0f} rows/s")  # noqa: T201
    # Alternately, so that what else this machine does slows both alike.
    pairs = [
        (await cost(source, first), await cost(source, last))
        for first, last in zip(survey.ranges[:50], survey.ranges[-50:], strict=True)
    ]
    first, last = (sorted(costs)[25] for costs in zip(*pairs, strict=True))
    print(f"{name}: first {first * 1000:.2f} ms, last {last * 1000:.2f} ms")  # noqa: T201
    assert last < first * 1.2


async def cost(source, part):
    before = time.perf_counter()
    await source.read(part.range)
    return time.perf_counter() - before
