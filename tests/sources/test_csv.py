"""CSV by RFC 4180: values, nulls and rejects are those of a reader that shares nothing with ours, or an error."""

import csv
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.errors import UnknownColumn, Unreadable
from sources.file.csv_file import convert_csv
from sources.file.text import utf8_blocks
from tests.support import strict_csv
from tests.support.reading_sources import payloads, read_all, staged_rows

WHOLE_FILE = 1 << 20


def convert(folder, content: bytes, block_bytes: int = WHOLE_FILE):
    """What is staged of a CSV that is read so many bytes at a time: its names, rows, and malformed records."""
    blocks = (content[start : start + block_bytes] for start in range(0, len(content), block_bytes))
    found = convert_csv(utf8_blocks(blocks), folder / "rows.parquet")
    return found.columns, staged_rows(folder / "rows.parquet"), found.malformed


values = st.sampled_from(["", '""', "a", "\u00e9\u65e5", '"a,b"', '"x\ny"', '"\r\n"', '"a""b"', '""""', " "])
lines = st.tuples(st.lists(values, max_size=3).map(",".join), st.sampled_from(["\n", "\r", "\r\n", "\n\n"]))
written = st.one_of(
    st.lists(lines.map("".join), max_size=8).map("".join),
    st.text(st.sampled_from('a,"\r\n\u00e9'), max_size=30),
)


@settings(max_examples=200, deadline=None)
@given(
    body=written,
    first_end=st.sampled_from(["\n", "\r", "\r\n"]),
    end=st.sampled_from(["", "\r", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
    block_bytes=st.sampled_from([1, 2, 3, 7, WHOLE_FILE]),
)
def test_any_csv_is_read_as_by_a_strict_reader_or_ends_the_import(  # noqa: PLR0917
    tmp_path_factory, body, first_end, end, encoding, block_bytes
):
    text = "x,y" + first_end + body.rstrip("\r\n") + end
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    folder = tmp_path_factory.getbasetemp()
    try:
        wanted = strict_csv.read(text)[1:]
    except strict_csv.Stray:
        with pytest.raises(Unreadable, match="stray quote"):
            convert(folder, mark + text.encode(encoding), block_bytes)
        return
    names, rows, malformed = convert(folder, mark + text.encode(encoding), block_bytes)
    assert names == ("x", "y")
    assert rows == [tuple(record.values) for record in wanted if len(record.values) == 2]
    assert [(record.position, record.line) for record in malformed] == [
        (position, record.line) for position, record in enumerate(wanted) if len(record.values) != 2
    ]


texts = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=6)
"""Python 3.11 writes a CR without quotes where lines end otherwise."""


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(texts, min_size=3, max_size=3), max_size=20),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    block_bytes=st.sampled_from([1, 5, WHOLE_FILE]),
)
def test_values_written_by_pythons_csv_module_are_read_back(  # noqa: PLR0917
    tmp_path_factory, rows, separator, line_end, quoting, encoding, block_bytes
):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerows([["a", "b", "c"], *rows])
    content = text.getvalue().encode(encoding)
    names, found, malformed = convert(tmp_path_factory.getbasetemp(), content, block_bytes)
    assert (names, malformed) == (("a", "b", "c"), ())
    assert [tuple(value or "" for value in row) for row in found] == [tuple(row) for row in rows]


async def rows_of(root, open_file, content: bytes, name: str = "rows.csv"):
    """Payloads of the rows that can be taken, and the line and defect of the others."""
    (root / name).write_bytes(content)
    source = open_file(name)
    rows = await read_all(source, await source.ranges((await source.columns())[:1], 100))
    return payloads([row for row in rows if not row.defect]), [(row.line, row.defect) for row in rows if row.defect]


async def test_mixed_line_ends_end_records(root, open_file):
    assert await rows_of(root, open_file, b"id,v\n1,a\r\n2,b\n3,c\r4,d") == (
        [{"id": "1", "v": "a"}, {"id": "2", "v": "b"}, {"id": "3", "v": "c"}, {"id": "4", "v": "d"}],
        [],
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
async def test_a_byte_order_mark_gives_the_encoding_of_a_csv(root, open_file, encoding):
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""  # the others write it themselves
    content = mark + 'id,v\r\n1,"gr\u00f6\u00dfer, \U0001f600"\r\n'
    assert await rows_of(root, open_file, content.encode(encoding)) == (
        [{"id": "1", "v": "gr\u00f6\u00dfer, \U0001f600"}],
        [],
    )


async def test_surplus_empty_values_make_a_record_malformed(root, open_file):
    assert await rows_of(root, open_file, b"id,v\n1,a,\n2,b,,,\n3,c\n") == (
        [{"id": "3", "v": "c"}],
        [(2, "it has 3 values instead of 2"), (3, "it has 5 values instead of 2")],
    )


async def test_lines_of_separators_are_records_of_a_one_column_file_too(root, open_file):
    assert await rows_of(root, open_file, b'id\n1\n,\n,,,\n\n""\n2\n') == (
        [{"id": "1"}, {"id": ""}, {"id": "2"}],
        [(3, "it has 2 values instead of 1"), (4, "it has 4 values instead of 1")],
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'id, "name"\n1,x\n', 1),
        (b'id,name\n1, "x"\n', 2),
        (b'id,name\n\n1,y\n2,"q" \n', 4),
        (b'id,name\r1,"a\r\nb"\r2,5" pipe\r', 4),
        (b'id,name\n1,"a""\n2,b\n', 2),
        (b'id,name\n1,"a"b",c\n', 2),
    ],
)
async def test_blanks_beside_quotes_and_quotes_within_values_end_the_import_with_their_line(
    root, open_file, content, line
):
    with pytest.raises(Unreadable, match=f'^"rows.csv": Line {line} has a stray quote'):
        await rows_of(root, open_file, content)


async def test_blanks_are_part_of_names_and_values(root, open_file):
    assert await rows_of(root, open_file, b"id, name\n1, x \n 2,\ty\n") == (
        [{"id": "1", " name": " x "}, {"id": " 2", " name": "\ty"}],
        [],
    )


async def test_the_first_line_is_read_by_the_same_rule_as_others(root, open_file):
    assert await rows_of(root, open_file, b'"i""d","a,\nb"\n1,2\n3\n') == (
        [{'i"d': "1", "a,\nb": "2"}],
        [(4, "it has 1 value instead of 2")],
    )


async def test_a_record_of_megabytes_is_a_row_wherever_it_lies(root, open_file):
    for length in (WHOLE_FILE - 12, WHOLE_FILE - 1, 3 * WHOLE_FILE + 1, 11_000_000):
        value = b"x" * length
        rows, defects = await rows_of(root, open_file, b"id,v\n0,z\n1," + value + b'\n2,"b\n' + value + b'"\n3,c\n')
        assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
        assert rows[1]["v"].encode() == value
        assert rows[2]["v"].encode() == b"b\n" + value
        assert defects == []


@pytest.mark.parametrize("quote", [b"", b'"'])
async def test_a_record_beyond_the_limit_ends_the_import_with_its_line(root, open_file, quote):
    content = b"id,v\n0,z\n1," + quote + b"x" * 33_000_000 + quote + b"\n2,b\n3,c\n"
    with pytest.raises(Unreadable, match=r"record that begins in line 3 is longer than 16 MiB"):
        await rows_of(root, open_file, content)


@pytest.mark.parametrize("before", [0, 500_000, 900_000])
async def test_whether_a_record_is_too_long_is_its_length_s_alone(root, open_file, monkeypatch, before):
    monkeypatch.setattr("sources.file.csv_file.MAX_RECORD_BYTES", 2_000_000)
    monkeypatch.setattr("sources.file.csv_chunks.MAX_RECORD_BYTES", 2_000_000)
    first = b"id,v\n0," + b"y" * before
    longest = b"\n1," + b"x" * 1_999_998
    found, _ = await rows_of(root, open_file, first + longest + b"\n2,b\n")
    assert len(found) == 3
    with pytest.raises(Unreadable, match="begins in line 3 is longer"):
        await rows_of(root, open_file, first + longest + b"x\n2,b\n")


async def test_a_stray_pair_of_quotes_is_no_record_of_thousands_of_lines(root, open_file):
    lines = b"".join(b"%d,a,b\n" % number for number in range(2, 3000))
    content = b'id,v,w\n1,"a,b\n' + lines + b'3000,a",b,c,d\n'
    with pytest.raises(
        Unreadable, match=r"record that begins in line 2 makes no sense \(it has 5 values.*over 3000 lines"
    ):
        await rows_of(root, open_file, content)


async def test_bytes_that_are_no_text_make_a_record_malformed(root, open_file):
    assert await rows_of(
        root, open_file, b'id,v\n1,\xff\n2,\xc3\xa9\n\xc3,"\xff\n"\n3,\xed\xa0\x80\n4,\xfb\xfe\xfd\n'
    ) == (
        [{"id": "2", "v": "\u00e9"}],
        [(2, "it isn't UTF-8"), (4, "it isn't UTF-8"), (6, "it isn't UTF-8"), (7, "it isn't UTF-8")],
    )
    halves = "id,v\n1,".encode("utf-16") + b"\x3d\xd8" + "\n2,b\n".encode("utf-16-le")
    assert await rows_of(root, open_file, halves) == ([{"id": "2", "v": "b"}], [(2, "it isn't UTF-8")])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("id,v\n1,a\n".encode("utf-32"), "written in UTF-32: write it in UTF-8"),
        ("id,v\n1,a\n".encode("utf-16")[:-1], "UTF-16 ends within a character"),
        ("id,v\n1,a\n".encode("utf-16-le"), "NUL characters, as UTF-16 without a mark does"),
        (",".join(f"c{n}" for n in range(2001)).encode(), "names 2001 columns, more than 2000"),
        (b"id,v,id,w\n", 'columns 1 and 3 are both "id"'),
    ],
)
async def test_an_error_in_a_file_is_explained_with_the_remedy(root, open_file, content, why):
    with pytest.raises(Unreadable, match=why):
        await rows_of(root, open_file, content)


async def test_as_many_columns_as_may_be_are_read(root, open_file):
    names = [f"c{number}" for number in range(2000)]
    rows, _ = await rows_of(root, open_file, ",".join(names).encode() + b"\n" + b",".join([b"x"] * 2000) + b"\n")
    assert rows == [dict.fromkeys(names, "x")]


@pytest.mark.parametrize(
    "block", [b"x" * 1_000_000, b'"' + b"\n" * 999_998 + b'"'], ids=["no line end", "only quoted ones"]
)
def test_a_record_without_an_end_is_given_up_before_it_is_read_whole(tmp_path, block):
    blocks = itertools.chain([b"id,v\n1,"], itertools.repeat(block))
    with pytest.raises(Unreadable, match="begins in line 2 is longer than 16 MiB"):
        convert_csv(blocks, tmp_path / "rows.parquet")


@pytest.mark.parametrize("block_bytes", [1 << 16, 1 << 20])
def test_a_stray_quote_is_reported_before_the_length_of_its_record(tmp_path, block_bytes):
    rows = b'"1001","Smith","12 Main Street"\n' * 600_000
    with pytest.raises(Unreadable, match=r"Line 2 has a stray quote.*within an unquoted value"):
        convert(tmp_path, b'a,b,c\n1,5" pipe,z\n' + rows, block_bytes)


def test_a_record_of_too_many_quotes_is_named_by_its_line(tmp_path):
    document = b'{""a"":""bc""},' * 600_000
    assert len(document) < 10 * 1024 * 1024
    with pytest.raises(Unreadable, match="record that begins in line 3 holds more than 4000000 quotes"):
        convert(tmp_path, b'a,b\n1,x\n2,"' + document + b'"\n', WHOLE_FILE)


def test_a_record_of_many_quotes_is_a_row(tmp_path):
    document = '{"a":"bc"},' * 100_000
    quoted = document.replace('"', '""')
    _, rows, malformed = convert(tmp_path, f'a,b\n1,"{quoted}"\n2,x\n'.encode())
    assert (rows, malformed) == ([("1", document), ("2", "x")], ())


async def test_a_file_without_rows_has_to_have_its_key_too(root, open_file):
    (root / "rows.csv").write_bytes(b"x,y\n")
    source = open_file("rows.csv")
    assert (await source.ranges(["x"], 10)).rows == 0
    with pytest.raises(UnknownColumn, match='has no column "id": it has "x", "y"'):
        await source.ranges(["id"], 10)
