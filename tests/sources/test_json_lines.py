"""JSON lines: a line is a row, a reject or blank, and what is wrong with a whole file is said."""

import itertools

import pytest

from sources.errors import UnknownColumn, Unreadable
from sources.file.json_lines import convert_json_lines
from tests.support.reading_sources import compress, payloads, read_all


async def rows_of(root, open_file, content: bytes, key=("id",)):
    (root / "rows.jsonl").write_bytes(content)
    source = open_file("rows.jsonl")
    return await read_all(source, await source.ranges(list(key), 100))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_a_byte_order_mark_gives_the_encoding_of_json_lines(root, open_file, encoding, line_end):
    text = line_end.join(['{"id": 1, "v": "gr\u00f6\u00dfer \U0001f600"}', "", '{"id": 2}', ""])
    rows = await rows_of(root, open_file, text.encode(encoding))
    assert [(row.payload, row.line) for row in rows] == [
        ({"id": 1, "v": "gr\u00f6\u00dfer \U0001f600"}, 1),
        ({"id": 2}, 3),
    ]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst"])
async def test_rows_have_their_lines_with_any_compression(root, open_file, name):
    compress(root / name, b'\n{"id": 1}\n\n[2]\n')
    source = open_file(name)
    rows = await read_all(source, await source.ranges(["id"], 1))
    assert [(row.line, row.defect) for row in rows] == [(2, None), (4, "the line is no JSON object")]


async def test_a_line_that_is_no_text_is_a_reject_that_shows_nothing_of_it(root, open_file):
    rows = await rows_of(root, open_file, b'{"id": 1}\n{"id": 2, "v": "secret\xff"}\n{"id": 3, "v": "\xc3\xa9"}\n')
    assert [(row.line, row.defect) for row in rows] == [(1, None), (2, "the line isn't UTF-8"), (3, None)]
    assert rows[2].payload == {"id": 3, "v": "\u00e9"}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"[1]\n2\n", b"no json\n", b"id,v\n1,a\n"])
async def test_a_file_without_any_object_is_no_file_of_json_lines(root, open_file, content):
    with pytest.raises(Unreadable, match=r'^"rows\.jsonl": No line of it holds a JSON object'):
        await rows_of(root, open_file, content)


async def test_a_key_that_no_object_has_is_named_with_the_existing_members(root, open_file):
    with pytest.raises(UnknownColumn, match=r'file "rows\.jsonl" has no column "id": it has none\.'):
        await rows_of(root, open_file, b"{}\n")


async def test_a_line_nested_a_hundred_thousand_deep_is_a_reject(root, open_file):
    deep = b'{"id": 2, "v": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    rows = await rows_of(root, open_file, b'{"id": 1}\n' + deep + b'\n{"id": 3}\n')
    assert [row.defect is None for row in rows] == [True, False, True]


@pytest.mark.parametrize("line", [b"\x0b", b"\x0c", b" \x0b\t", b"\x1c", b"\xc2\xa0", b"\xe2\x80\xa8"])
async def test_a_line_of_white_space_that_json_does_not_know_is_a_reject(root, open_file, line):
    """Python's own idea of a blank is wider."""
    rows = await rows_of(root, open_file, b'{"id": 1}\n' + line + b'\n \t\r\n{"id": 2}\n')
    assert [(row.position, row.line, row.defect is None) for row in rows] == [(0, 1, True), (1, 2, False), (2, 4, True)]


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a": ', "}")])
async def test_a_line_is_nested_a_hundred_deep_at_most(root, open_file, opens, closes):
    lines = [f'{{"id": {deep}, "v": {opens * deep}1{closes * deep}}}' for deep in (98, 99, 100, 101, 150, 198)]
    rows = await rows_of(root, open_file, "\n".join(lines).encode())
    assert [row.defect for row in rows[:2]] == [None, None]
    assert all("nested deeper than 100" in (row.defect or "") for row in rows[2:])
    assert len(rows) == 6


async def test_members_beyond_those_that_are_remembered_can_be_the_key(root, open_file):
    wide = "{" + ", ".join(f'"m{number}": 1' for number in range(60_000)) + "}"
    rows = await rows_of(root, open_file, f'{wide}\n{{"zzz": 7}}\n'.encode(), key=("zzz",))
    assert payloads(rows)[1] == {"zzz": 7}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"id": 1}\n\n{"id": "' + b"x" * 17_000_000 + b'"}\n', "Line 3 is longer than 16 MiB"),
        (b'{"id": 1}\n' + b"x" * 40_000_000, "Line 2 is longer than 16 MiB"),
        (b'{"id": 1}\n{"id": [' + b"[]," * 1_000_001 + b"1]}\n", "Line 2 holds some 2000004 values, more than 1000000"),
    ],
    ids=["a long line", "no line end", "many values"],
)
async def test_a_line_that_is_too_much_ends_the_import_with_its_number(root, open_file, content, why):
    with pytest.raises(Unreadable, match=why):
        await rows_of(root, open_file, content)


def test_a_line_without_an_end_is_given_up_before_it_is_read_whole(tmp_path):
    with pytest.raises(Unreadable, match="Line 1 is longer than 16 MiB"):
        convert_json_lines(itertools.repeat(b'{"id": "' + b"x" * 1_000_000), tmp_path / "rows.parquet")
