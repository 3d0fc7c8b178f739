"""Rows of a file that share a key: which of them the survey marks, compared with what all rows at once give."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.errors import KeyUnusable
from sources.file.source import FileSource
from sources.staged import repeats
from tests.support.reading_sources import ParserHere, compress, make, read_all
from worker.imports.records import to_records


async def repeated(source, key, *, batch_size=2):
    """The positions that are marked when all ranges are read; only ranges that hold some name any."""
    survey = await source.ranges(key, batch_size)
    for part in survey.ranges:
        marked = [row.position for row in await source.read(part.range) if row.is_repeated]
        assert part.range.get("repeated", []) == marked
    return [position for part in survey.ranges for position in part.range.get("repeated", [])]


async def as_one_batch(source, key):
    """The positions that are duplicates where all rows are one batch and nothing is marked."""
    rows = [row._replace(is_repeated=False) for row in await read_all(source, await source.ranges(key, 3))]
    return [row.position for row in to_records(rows, tuple(key)).rejected if row.code == "duplicate_key"]


@pytest.mark.parametrize(
    ("content", "key", "wanted"),
    [
        (b"id,n\n1,a\n2,b\n3,c\n1,d\n2,e\n1,f\n", ["id"], [3, 4, 5]),
        (b"id,n\n1,a\n1,b\n1,a\n", ["id", "n"], [2]),
        (b"id,n\n1,23\n12,3\n1,23\n", ["n", "id"], [2]),
        (b"id\na\nA\na \n a\n\xc3\xa9\ne\xcc\x81\n007\n7\n", ["id"], []),
        (b'id,n\n,a\n,a\n"",a\n"",b\n', ["id"], [3]),
        (b"id,n\n1,\n1,\n1,a\n", ["id", "n"], []),
        (b"id,n\n1\n2,b\n2\n2,c\n", ["id"], [3]),
    ],
)
async def test_a_row_of_a_csv_is_repeated_if_an_earlier_one_has_the_same_key(root, open_file, content, key, wanted):
    (root / "rows.csv").write_bytes(content)
    source = open_file("rows.csv")
    assert await repeated(source, key) == wanted == await as_one_batch(source, key)
    assert await repeated(source, key) == wanted  # again


async def test_the_survey_reports_how_many_rows_are_repeated(root, open_file):
    (root / "rows.csv").write_bytes(b"id,n\n1,a\n1,b\n2\n1,c\n")
    survey = await open_file("rows.csv").ranges(["id"], 2)
    assert survey.detail == "1 records make no sense. 2 rows have the key of a row before them."
    assert [dict(part.range).get("repeated") for part in survey.ranges] == [[1], [3]]


async def test_a_row_that_cannot_be_taken_takes_no_key(root, open_file):
    (root / "rows.csv").write_bytes(b"id,n\n1,\0\n2,a\n1,b\n1,c\n1,\0\n")
    source = open_file("rows.csv")
    assert await repeated(source, ["id"]) == [3] == await as_one_batch(source, ["id"])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1", '"1"', "1.0", "1.00", '"1.0"'], [1, 3, 4]),
        (["true", '"true"', "null", "null", '"null"'], [1]),
        (['"a\\u0041"', '"aA"', '"aa"'], [1]),
        (['{"a": 1}', '{"a":1}', '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', '"{\\"a\\":1}"'], [1, 4]),
        (["[1,  2]", "[1,2]", "[2,1]"], [1]),
        (["9007199254740992", "9007199254740993", "9007199254740993"], [2]),
        (["123456789012345678901234567890", '"123456789012345678901234567890"'], [1]),
        (["1e2", "100.0", "100", "-0", "0", "-0.0"], [1, 4]),
        (["1e16", "10000000000000000.0"], [1]),
        (['"x\\u0000"', '"x\\u0000"', '"x"'], []),
    ],
)
async def test_members_of_json_lines_are_compared_as_the_text_of_the_key(root, open_file, values, wanted):
    compress(root / "rows.jsonl.gz", "".join(f'{{"a/b~c": {value}}}\n' for value in values).encode())
    source = open_file("rows.jsonl.gz")
    assert await repeated(source, ["a/b~c"]) == wanted == await as_one_batch(source, ["a/b~c"])


async def test_lines_that_are_no_rows_and_members_that_are_elsewhere_repeat_nothing(root, open_file):
    lines = ['{"0": 7}', "[7]", "not json", "[7]", '{"0": 7, "0": 7}', '{"in": {"0": 7}}', '{"\\u0030": 7}', '{"0": 8}']
    (root / "rows.jsonl").write_text("\n".join(lines))
    source = open_file("rows.jsonl")
    assert await repeated(source, ["0"]) == [6] == await as_one_batch(source, ["0"])


async def test_values_of_a_composite_key_in_json_lines_keep_their_types(root, open_file):
    (root / "rows.jsonl").write_text(
        '{"a": 1, "b": "x"}\n{"a": "1", "b": "x"}\n{"b": "x", "a": 1}\n{"a": 1}\n{"a": 1}\n'
    )
    source = open_file("rows.jsonl")
    assert await repeated(source, ["a", "b"]) == [2] == await as_one_batch(source, ["a", "b"])


@pytest.mark.parametrize(
    "column",
    [
        "i::HUGEINT",
        "i::DECIMAL(10, 2)",
        "(i / 2)::DOUBLE",
        "DATE '2024-01-01' + i::INTEGER",
        "[i, NULL]",
        "{'a': i}",
        "('{\"a\": ' || i || repeat(' ', n) || '}')::JSON",
        "i::VARCHAR::BLOB",
        "i > 0",
    ],
)
async def test_keys_of_any_type_of_parquet_are_compared(root, open_file, column):
    rows = "(VALUES (0, 0), (1, 1), (2, 2), (1, 3), (0, 4), (3, 5), (NULL, 6), (NULL, 7)) AS t (i, n)"
    make(root / "rows.parquet", f"SELECT {column} AS k, n FROM {rows} ORDER BY n")
    source = open_file("rows.parquet")
    wanted = await as_one_batch(source, ["k"])
    assert {3, 4} <= set(wanted)
    assert await repeated(source, ["k"]) == wanted


texts = st.text(st.sampled_from('ab0",\u00e9\0 '), max_size=2)
cells = st.none() | texts
values = st.one_of(texts, st.integers(-2, 2), st.floats(-2, 2, width=16), st.booleans(), st.none(), st.just([1]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=30), key=st.sampled_from(["x", "xy", "zx"]))
async def test_any_csv_is_taken_apart_as_one_batch_would_be(root, staging, rows, key):
    lines = [",".join("" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    (root / "rows.csv").write_text("\n".join(["x,y,z", *lines, ""]))
    source = FileSource(root=root, path="rows.csv", staging_folder=staging, parser=ParserHere())
    assert await repeated(source, list(key), batch_size=4) == await as_one_batch(source, list(key))
    await source.aclose()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from("xyz"), values), max_size=30), key=st.sampled_from(["x", "xy", "zx"])
)
async def test_any_json_lines_are_taken_apart_as_one_batch_would_be(root, staging, rows, key):
    every = {"x": "a name", "y": "for each", "z": "part of keys"}
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [every, *rows]))
    source = FileSource(root=root, path="rows.jsonl", staging_folder=staging, parser=ParserHere())
    assert await repeated(source, list(key), batch_size=4) == await as_one_batch(source, list(key))
    await source.aclose()


async def test_a_value_that_most_rows_share_is_no_key(root, open_file):
    make(root / "rows.csv", "SELECT 1 AS id, i AS line FROM range(10_001) AS r (i)", "(HEADER)")
    source = open_file("rows.csv")
    with pytest.raises(KeyUnusable, match=r'share one value of \("id"\), up to 10001'):
        await source.ranges(["id"], 500)
    assert await repeated(source, ["id", "line"], batch_size=500) == []
    assert len((await source.ranges(["id"], 6000)).ranges) == 2  # two of those batches may share it


async def test_many_rows_without_a_key_share_none(root, open_file):
    make(root / "rows.csv", "SELECT NULL AS id, 1 AS line FROM range(10_001) AS r (i)", "(HEADER)")
    assert await repeated(open_file("rows.csv"), ["id", "line"], batch_size=500) == []


async def test_more_rows_than_can_be_kept_apart_are_refused_with_numbers(root, open_file, monkeypatch):
    monkeypatch.setattr(repeats, "MAX_REPEATED", 10)
    make(root / "rows.csv", "SELECT i % 20 AS id, i % 30 AS line FROM range(31) AS r (i)", "(HEADER)")
    source = open_file("rows.csv")
    with pytest.raises(KeyUnusable, match=r'11 of 31 rows have the same value of \("id"\) as a row before them'):
        await source.ranges(["id"], 5)
    assert await repeated(source, ["line"], batch_size=5) == [30]


async def test_many_keys_are_compared_with_little_memory(root, staging, open_file):
    make(root / "rows.csv", "SELECT i % 590_000 AS id, md5(i::TEXT) FROM range(600_000) AS r (i)", "(HEADER)")
    await open_file("rows.csv").count()  # staged with the usual memory
    source = FileSource(root=root, path="rows.csv", staging_folder=staging, memory_limit="20MB")
    survey = await source.ranges(["id"], 5000)
    await source.aclose()
    marked = [position for part in survey.ranges for position in part.range.get("repeated", [])]
    assert marked == list(range(590_000, 600_000))
