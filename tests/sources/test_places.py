"""Where records stand in their file: positions and lines are those that a plain reader of the file finds."""

import csv
import io
import random
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.file import decompression
from sources.file.source import FileSource
from tests.support.reading_sources import ParserHere, compress
from worker.imports.records import to_records

WHOLE_FILE = 1 << 20


def csv_places(content, columns):
    """The line that each record begins in, with whether it can be taken; in their order, blank lines left out."""
    # One byte is one character here, so that a record with bytes that aren't UTF-8 is read too.
    reader = csv.reader(io.StringIO(content.decode("latin-1"), newline=""), delimiter=",")
    places, line = [], 1
    for cells in reader:
        if cells:
            places.append((line, len(cells) == columns and "\xff" not in "".join(cells)))
        line = reader.line_num + 1
    return places[1:]


def json_places(content):
    """The line of each row, those without anything but JSON's white space (RFC 8259, 2) left out."""
    return [number for number, line in enumerate(content.split(b"\n"), 1) if not re.fullmatch(rb"[ \t\r]*", line)]


async def places(source, key, batch_size=3):
    """What the source says of all rows: their positions and, of those that can't be taken, lines."""
    survey = await source.ranges(key, batch_size)
    assert survey.rows == sum(part.rows for part in survey.ranges)
    rows = []
    for part in survey.ranges:
        read = await source.read(part.range)
        assert [row.position for row in read] == list(range(part.range["from"], part.range["before"]))
        rows += read
    return rows


def assert_found(rows, wanted):
    assert [row.position for row in rows] == list(range(len(wanted)))
    assert [row.defect is None for row in rows] == [is_good for _, is_good in wanted]
    assert [row.line for row in rows if row.defect] == [line for line, is_good in wanted if not is_good]


words = st.sampled_from([b"x", b"007", b"\xc3\xa9", b'"q"', b'"a,b"', b'"a\nb"', b'"\r\n\r\n"', b'"a\rb"', b'"\n""\n"'])
bad_words = st.sampled_from([b"\xff", b'"\xff\n"', b"x\xff\xff"])
csv_records = {
    columns: st.one_of(
        st.lists(words, min_size=columns, max_size=columns),
        st.lists(words, min_size=columns, max_size=columns),
        st.lists(words, min_size=columns + 1, max_size=columns + 2),
        st.lists(words, min_size=1, max_size=columns),
        st.lists(words | bad_words, min_size=columns, max_size=columns),
        st.just([]),
    )
    for columns in (1, 2, 3)
}


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    data=st.data(),
    columns=st.sampled_from([1, 2, 3]),
    line_break=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    has_last_break=st.booleans(),
    name=st.sampled_from(["rows.csv", "rows.csv.gz"]),
    chunk=st.sampled_from([1, 2, 7, WHOLE_FILE]),
)
async def test_malformed_records_of_any_csv_are_where_a_plain_reader_finds_them(  # noqa: PLR0917
    root, staging, monkeypatch, data, columns, line_break, start, has_last_break, name, chunk
):
    monkeypatch.setattr(decompression, "BLOCK_BYTES", chunk)
    records = data.draw(st.lists(csv_records[columns], max_size=30))
    header = [b"x", b"y", b"z"][:columns]
    text = line_break.join(map(b",".join, [header, *records]))
    content = start + text + (line_break if has_last_break else b"")
    compress(root / name, content)
    source = FileSource(root=root, path=name, staging_folder=staging, parser=ParserHere())
    rows = await places(source, ["x"])
    await source.aclose()
    assert_found(rows, csv_places(content, columns))


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n"])
async def test_places_hold_over_the_chunks_of_a_large_csv(root, open_file, line_break):
    chance = random.Random(4)
    kinds = [b"%d,x,y", b'%d,"a\n\nb",y', b'%d,"a""\r\n",y', b"", b"%d,x", b"%d,x,y,z", b"%d,\xff,y"]
    weights = [200, 10, 10, 5, 1, 1, 1]
    records = [kind and kind % number for number, kind in enumerate(chance.choices(kinds, weights, k=200_000))]
    padded = [record and record + b"y" * chance.randrange(30) for record in records]
    content = line_break.join([b"id,a,b", *padded])
    assert len(content) > 4 * decompression.BLOCK_BYTES
    compress(root / "rows.csv.gz", content)
    wanted = csv_places(content, 3)
    assert_found(await places(open_file("rows.csv.gz"), ["id"], 5000), wanted)


async def test_batches_have_as_many_rejects_as_their_part_of_the_file_has_malformed_records(root, open_file):
    rows = (f"{number},x{',y' * (number % 100 == 50)}\n" for number in range(10_000))
    (root / "rows.csv").write_text("id,name\n" + "".join(rows))
    source = open_file("rows.csv")
    survey = await source.ranges(["id"], 500)
    assert {(await rejected(source, part))["unusable_row"] for part in survey.ranges} == {5}
    first = to_records(await source.read(survey.ranges[0].range), ("id",)).rejected[0]
    assert first.position == 50
    assert first.detail == "Line 52: This row can't be taken: it has 3 values instead of 2."


async def rejected(source, part):
    return Counter(row.code for row in to_records(await source.read(part.range), ("id",)).rejected)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.csv.zst"])
async def test_malformed_records_have_their_lines_with_any_compression(root, open_file, name):
    compress(root / name, b"a,b\n1,2\n3\n4,5\n6,7,8\n9\n10,11\n12\n")
    rows = await places(open_file(name), ["a"])
    assert [(row.position, row.line) for row in rows if row.defect] == [(1, 3), (3, 5), (4, 6), (6, 8)]


json_lines = st.sampled_from(
    [b'{"id": 1}', b'{"id": "a"}', b" {} ", b"", b"", b" ", b"\t\r", b"\x0b\x0c", b"[1]", b"no", b'{"id"', b'"\xff"']
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    written=st.lists(json_lines, max_size=30),
    line_break=st.sampled_from([b"\n", b"\r\n"]),
    end=st.sampled_from([b"", b"\n", b"\n\n \n"]),
    name=st.sampled_from(["rows.jsonl", "rows.jsonl.gz"]),
    chunk=st.sampled_from([1, 2, 7, WHOLE_FILE]),
)
async def test_rows_of_any_json_lines_are_in_the_line_where_a_plain_reader_finds_them(  # noqa: PLR0917
    root, staging, monkeypatch, written, line_break, end, name, chunk
):
    monkeypatch.setattr(decompression, "BLOCK_BYTES", chunk)
    content = line_break.join([b'{"id": 0}', *written]) + end
    compress(root / name, content)
    source = FileSource(root=root, path=name, staging_folder=staging, parser=ParserHere())
    rows = await places(source, ["id"])
    await source.aclose()
    assert [row.line for row in rows] == json_places(content)
    assert [row.position for row in rows] == list(range(len(rows)))


async def test_every_reject_of_json_lines_names_its_line(root, open_file):
    (root / "rows.jsonl").write_bytes(b'{"id": 1}\n\n{"x": 1}\n[1]\n\n\n{"id": 1}\n{"id": "' + b"y" * 3000 + b'"}\n')
    rejects = to_records(await places(open_file("rows.jsonl"), ["id"], 9), ("id",)).rejected
    assert [(reject.position, reject.code, reject.detail.split(":")[0]) for reject in rejects] == [
        (1, "key_missing", "Line 3"),
        (2, "unusable_row", "Line 4"),
        (3, "duplicate_key", "Line 7"),
        (4, "key_too_long", "Line 8"),
    ]


async def test_lines_are_not_reported_where_more_are_blank_than_are_remembered(root, open_file, monkeypatch):
    monkeypatch.setattr("sources.file.json_lines.MAX_BLANK_LINES", 2)
    for name, blank, wanted in (("few.jsonl", 2, [1, 4]), ("many.jsonl", 3, [None, None])):
        (root / name).write_bytes(b'{"id": 1}\n' + b"\n" * blank + b'{"id": 2}\n')
        assert [row.line for row in await places(open_file(name), ["id"])] == wanted
