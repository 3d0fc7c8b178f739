"""Ranges of a file whose rows are large: they end earlier, and still are all of the file, once."""

import pytest

from sources.staged import writer as staged_writer
from sources.staged.cuts import MAX_RANGE_BYTES
from tests.support.reading_sources import read_all

MIB = 1 << 20


def weight(rows) -> int:
    return sum(len(value or "") for row in rows for value in row.payload.values())


@pytest.mark.parametrize("batch_size", [7, 500])
async def test_a_range_ends_where_its_rows_would_take_too_much(root, open_file, batch_size):
    large = b"z" * (MIB // 2)
    lines = [b"%d," % number + (large if number >= 200 else b"") for number in range(300)]
    lines[10] = lines[250] = b"x"
    (root / "rows.csv").write_bytes(b"id,v\n" + b"\n".join(lines))
    source = open_file("rows.csv")
    survey = await source.ranges(["id"], batch_size)
    rows = [await source.read(part.range) for part in survey.ranges]
    assert [row.position for read in rows for row in read] == list(range(300))
    assert [len(read) for read in rows] == [part.rows for part in survey.ranges]
    assert max(map(len, rows)) <= batch_size
    assert max(map(weight, rows)) <= MAX_RANGE_BYTES + staged_writer.ROW_GROUP_BYTES
    if batch_size == 500:
        assert len(rows) < 8  # it isn't cut more often than it must be


async def test_a_row_that_takes_more_than_a_range_may_is_one(root, open_file, monkeypatch):
    monkeypatch.setattr("sources.staged.cuts.MAX_RANGE_BYTES", 1000)
    monkeypatch.setattr(staged_writer, "ROW_GROUP_BYTES", 1000)
    (root / "rows.csv").write_bytes(b"id,v\n1,a\n2," + b"z" * 3000 + b"\n3," + b"z" * 3000 + b"\n4,d\n")
    source = open_file("rows.csv")
    survey = await source.ranges(["id"], 500)
    assert [row.payload["id"] for row in await read_all(source, survey)] == ["1", "2", "3", "4"]
    assert [part.rows for part in survey.ranges] == [1, 1, 1, 1]


async def test_a_range_of_many_values_ends_earlier_too(root, open_file, monkeypatch):
    monkeypatch.setattr("sources.staged.cuts.MAX_RANGE_BYTES", 4 * MIB)
    (root / "rows.jsonl").write_bytes(b"".join(b'{"id": %d, "v": [%b1]}\n' % (n, b"[]," * 20_000) for n in range(8)))
    source = open_file("rows.jsonl")
    survey = await source.ranges(["id"], 500)
    assert max(part.rows for part in survey.ranges) <= 3
    assert [row.payload["id"] for row in await read_all(source, survey)] == list(range(8))
