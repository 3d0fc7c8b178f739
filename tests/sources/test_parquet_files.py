"""Parquet files as they come, or refused for what is wrong with them; judged by the values that were written."""

import datetime as dt
import random
import struct
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from sources.errors import Unreadable
from tests.support.parquet_by_hand import (
    BSON,
    BYTE_ARRAY,
    DATE,
    DECIMAL,
    ENUM,
    FIXED,
    INT32,
    INT64,
    INT96,
    INTERVAL,
    JSON,
    LZO,
    TIME_MICROS,
    TIME_MILLIS,
    TIMESTAMP_MICROS,
    TIMESTAMP_MILLIS,
    UTF8,
    HandColumn,
    text,
    write_by_hand,
)
from tests.support.reading_sources import make, payloads, read_all

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - as timestamps without a zone are
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800
UNHELD = "is no date or time between the years 0001 and 9999"


@pytest.fixture
def read(root, open_file):
    """Write columns by pyarrow, beside an id, and return the rows that are read."""

    async def read_(columns=None, **options):
        if columns is not None:
            rows = len(next(iter(columns.values())))
            parquet.write_table(pa.table({"id": pa.array(range(rows)), **columns}), root / "rows.parquet", **options)
        source = open_file("rows.parquet")
        return await read_all(source, await source.ranges(["id"], 500))

    return read_


async def test_columns_whose_names_differ_only_in_case_keep_their_names(root, open_file):
    names = ["id", "ID", "Id", "ID_1", "id_1", "a.b", "a", "", " a", 'q"uote', "file_row_number", "c0", "é", "É"]
    row = {name: number for number, name in enumerate(names)}
    columns = [pa.array([number]) for number in row.values()]
    parquet.write_table(pa.Table.from_arrays(columns, names=names), root / "rows.parquet")
    source = open_file("rows.parquet")
    assert await source.columns() == tuple(names)
    for key in names:
        assert payloads(await read_all(source, await source.ranges([key], 10))) == [row]


async def test_fields_of_a_struct_that_differ_only_in_case_keep_their_names(read):
    rows = await read({"s": pa.array([{"a": 1, "A": 2, "a.a": 3}])})
    assert rows[0].payload["s"] == {"a": 1, "A": 2, "a.a": 3}


async def test_decimals_of_any_precision_keep_all_their_digits(read):
    drawn = random.Random(4)
    columns, wanted = {}, {}
    for precision in range(1, 77):
        scale = drawn.randrange(precision + 1)
        digits = [drawn.randrange(-(10**precision) + 1, 10**precision) for _ in range(3)]
        values = [decimal(number, scale) for number in [*digits, 0, 1, -1, 10**precision - 1]]
        type_ = (pa.decimal128 if precision < 39 else pa.decimal256)(precision, scale)
        columns[f"d{precision}"] = pa.array(values, type_)
        columns[f"l{precision}"] = pa.array([[value] for value in values], pa.list_(type_))
        wanted |= {f"d{precision}": values, f"l{precision}": values}
    for options in ({}, {"store_decimal_as_integer": True}):
        rows = await read(columns, **options)
        for name, values in wanted.items():
            found = [row.payload[name] for row in rows]
            assert [row if isinstance(row, str) else row[0] for row in found] == [format(v, "f") for v in values]


def decimal(digits, scale):
    return Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -scale))


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize(("unit", "ticks"), [("ms", 10**3), ("us", 10**6)])
async def test_a_year_before_christ_or_after_9999_rejects_its_row_alone(read, unit, ticks, zone):
    type_ = pa.timestamp(unit, zone)
    unheld = [YEAR_1 * ticks - 1, YEAR_10000 * ticks, -62_198_755_200 * ticks, -(2**63), 2**63 - 1]
    held = [YEAR_1 * ticks, -1, YEAR_10000 * ticks - 1]
    moments = pa.array(held + unheld, type_)
    rows = await read({"t": moments, "s": pa.StructArray.from_arrays([moments], ["a"])})
    suffix = "+00:00" if zone else ""
    fraction = "9" * (len(str(ticks)) - 1)
    wanted = ["0001-01-01T00:00:00", f"1969-12-31T23:59:59.{fraction}", f"9999-12-31T23:59:59.{fraction}"]
    assert [row.payload["t"] for row in rows[:3]] == [value + suffix for value in wanted]
    assert [row.payload["s"] for row in rows[:3]] == [{"a": value + suffix} for value in wanted]
    assert [row.defect for row in rows] == [None] * 3 + [f"t {UNHELD}"] * 5
    assert [row.payload for row in rows[3:]] == [{"id": number} for number in range(3, 8)]


async def test_a_date_or_time_that_is_none_rejects_its_row_alone(read):
    days = pa.array([-719_162, 2_932_896, -719_163, 2_932_897, -(2**31), 2**31 - 1], pa.date32())
    times = pa.array([0, 86_399_999_999, None, None, 86_400_000_000, -1], pa.int64()).view(pa.time64("us"))
    rows = await read({"day": days, "time": times})
    assert payloads(rows[:2]) == [
        {"id": 0, "day": "0001-01-01", "time": "00:00:00"},
        {"id": 1, "day": "9999-12-31", "time": "23:59:59.999999"},
    ]
    assert [row.defect for row in rows[2:]] == [f"day {UNHELD}"] * 4
    assert all("time" not in row.payload for row in rows[4:])


async def test_nanoseconds_keep_their_nine_digits_wherever_they_lie(read):
    drawn = random.Random(6)
    moments = [drawn.randrange(-(2**63), 2**63) for _ in range(200)] + [0, -1, 10**9, 1_704_164_645_123_456_789]
    plain, zoned = pa.timestamp("ns"), pa.timestamp("ns", "America/New_York")
    rows = await read(
        {
            "plain": pa.array(moments, plain),
            "zoned": pa.array(moments, zoned),
            "in_struct": pa.array([{"a": v} for v in moments], pa.struct({"a": zoned})),
            "in_list": pa.array([[v, None] for v in moments], pa.list_(plain)),
            "in_map": pa.array([[(v, v)] for v in moments], pa.map_(zoned, plain)),
        }
    )
    for moment, row in zip(moments, rows, strict=True):
        wanted = iso(moment)
        assert row.payload | {"id": 0} == {
            "id": 0,
            "plain": wanted,
            "zoned": f"{wanted}+00:00",
            "in_struct": {"a": f"{wanted}+00:00"},
            "in_list": [wanted, None],
            "in_map": {f"{wanted}+00:00": wanted},
        }


def iso(nanoseconds):
    """ISO 8601 by datetime, which knows no nanoseconds."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    moment = (EPOCH + dt.timedelta(seconds=seconds)).isoformat()
    return f"{moment}.{fraction:09}".rstrip("0") if fraction else moment


async def test_timestamps_of_int96_are_right_in_every_year(root, read):
    drawn = random.Random(96)
    seconds = [drawn.randrange(YEAR_1, YEAR_10000) for _ in range(300)]
    seconds += [YEAR_1, YEAR_10000 - 1, YEAR_1 - 1, YEAR_10000]
    moments = [second * 10**9 + drawn.choice([0, 1, 500_000_000, 999_999_999]) for second in seconds]
    write_by_hand(
        root / "rows.parquet",
        HandColumn("id", INT64, [struct.pack("<q", number) for number in range(len(moments))]),
        HandColumn("t", INT96, list(map(int96, moments))),
    )
    rows = await read()
    assert [row.payload.get("t") for row in rows[:-2]] == list(map(iso, moments[:-2]))
    assert [(row.payload, row.defect) for row in rows[-2:]] == [
        ({"id": row.position}, f"t {UNHELD}") for row in rows[-2:]
    ]


def int96(nanoseconds):
    """The Julian day and the nanoseconds of it, as Impala wrote them."""
    day, rest = divmod(nanoseconds, 86_400 * 10**9)
    return struct.pack("<qI", rest, 2_440_588 + day)


async def test_timestamps_of_int96_within_lists_are_right_too(read):
    moments = [[0, None], None, [], [YEAR_1 * 10**6, 1, (YEAR_10000 - 1) * 10**6]]
    rows = await read({"t": pa.array(moments, pa.list_(pa.timestamp("us")))}, use_deprecated_int96_timestamps=True)
    assert [row.payload["t"] for row in rows] == [
        ["1970-01-01T00:00:00", None],
        None,
        [],
        ["0001-01-01T00:00:00", "1970-01-01T00:00:00.000001", "9999-12-31T23:59:59"],
    ]


async def test_annotations_of_old_files_are_read_by_the_specification(root, read):
    write_by_hand(
        root / "rows.parquet",
        HandColumn("id", INT64, [i64(1)]),
        HandColumn("ms", INT64, [i64(1_704_164_645_123)], TIMESTAMP_MILLIS),
        HandColumn("us", INT64, [i64(1_704_164_645_123_456)], TIMESTAMP_MICROS),
        HandColumn("time_ms", INT32, [i32(3_723_004)], TIME_MILLIS),
        HandColumn("time_us", INT64, [i64(3_723_000_005)], TIME_MICROS),
        HandColumn("day", INT32, [i32(19_782)], DATE),
        HandColumn("amount", INT32, [i32(-12_340)], DECIMAL),
        HandColumn("colour", BYTE_ARRAY, [text("röd")], ENUM),
        HandColumn("document", BYTE_ARRAY, [text('{"a": [1]}')], JSON),
        HandColumn("bson", BYTE_ARRAY, [text(b"\5\0\0\0\0")], BSON),
        HandColumn("interval", FIXED, [struct.pack("<III", 14, 3, 4_005)], INTERVAL, 12),
        HandColumn("t", BYTE_ARRAY, [text("007")], UTF8),
        HandColumn("bytes", BYTE_ARRAY, [text("007")]),
    )
    assert payloads(await read()) == [
        {
            "id": 1,
            "ms": "2024-01-02T03:04:05.123+00:00",
            "us": "2024-01-02T03:04:05.123456+00:00",
            "time_ms": "01:02:03.004+00:00",
            "time_us": "01:02:03.000005+00:00",
            "day": "2024-02-29",
            "amount": "-123.40",
            "colour": "röd",
            "document": {"a": [1]},
            "bson": "BQAAAAA=",
            "interval": "P14M3DT4.005S",
            "t": "007",
            "bytes": "MDA3",
        }
    ]


def i32(value):
    return struct.pack("<i", value)


def i64(value):
    return struct.pack("<q", value)


async def test_a_map_with_a_key_twice_rejects_its_row_alone(read):
    maps = [[("k", 1), ("k", 2)], [("a", 1)], None, [], [("b", 1), ("B", 2)]]
    structs = [{"m": mapping} for mapping in maps]
    type_ = pa.map_(pa.string(), pa.int32())
    rows = await read({"m": pa.array(maps, type_), "s": pa.array(structs, pa.struct({"m": type_}))})
    assert [row.defect for row in rows] == ["m holds a map with a key twice", None, None, None, None]
    assert payloads(rows) == [
        {"id": 0},
        {"id": 1, "m": {"a": 1}, "s": {"m": {"a": 1}}},
        {"id": 2, "m": None, "s": {"m": None}},
        {"id": 3, "m": {}, "s": {"m": {}}},
        {"id": 4, "m": {"b": 1, "B": 2}, "s": {"m": {"b": 1, "B": 2}}},
    ]


async def test_keys_of_maps_that_become_one_text_are_one_key(read):
    type_ = pa.map_(pa.struct({"a": pa.int64()}), pa.int32())
    rows = await read({"m": pa.array([[({"a": 1}, 1), ({"a": 2}, 2)], [({"a": 1}, 1), ({"a": 1}, 2)]], type_)})
    assert rows[0].payload["m"] == {'{"a":1}': 1, '{"a":2}': 2}
    assert rows[1].defect == "m holds a map with a key twice"


async def test_a_bad_value_within_a_nested_one_rejects_its_row_and_names_the_column(read):
    floats = [[1.5], [float("nan")], [], [float("-inf"), 2.5]]
    texts = [{"a": ["x"]}, {"a": ["x"]}, {"a": ["b\0"]}, {"a": []}]
    rows = await read({"f": pa.array(floats), "t": pa.array(texts)})
    assert [row.defect for row in rows] == [
        None,
        "f holds a value that is nan, which JSON has no word for",
        "t holds a value that holds a NUL character, which the database can't store",
        "f holds a value that is -inf, which JSON has no word for",
    ]
    assert rows[1].payload == {"id": 1, "t": {"a": ["x"]}}


async def test_a_text_that_is_not_utf_8_rejects_its_row_without_its_value(root, read):
    values = [b"caf\xc3\xa9", b"caf\xe9", b"\xed\xa0\x80", b"", b"\0not UTF-8"]
    write_by_hand(
        root / "rows.parquet",
        HandColumn("id", INT64, [i64(number) for number in range(5)]),
        HandColumn("t", BYTE_ARRAY, list(map(text, values)), UTF8),
        HandColumn("colour", BYTE_ARRAY, list(map(text, reversed(values))), ENUM),
    )
    rows = await read()
    assert [row.payload.get("t") for row in rows] == ["café", None, None, "", None]
    assert [row.defect for row in rows] == [
        "colour isn't valid UTF-8",
        "t isn't valid UTF-8",
        "t isn't valid UTF-8",
        "colour isn't valid UTF-8",
        "t isn't valid UTF-8",
    ]


async def test_nested_values_are_the_same_wherever_batches_are_cut(read):
    drawn = random.Random(1)

    def item():
        pairs = drawn.choice([None, [], [("k", [1, None])], [("a", None), ("b", [])]])
        return drawn.choice([None, {"n": drawn.randrange(9), "m": pairs}])

    values = [drawn.choice([None, [], [item()], [item(), item()]]) for _ in range(20_000)]
    type_ = pa.list_(pa.struct({"n": pa.uint64(), "m": pa.map_(pa.string(), pa.list_(pa.int8()))}))
    rows = await read({"v": pa.array(values, type_)}, row_group_size=9_001, data_page_size=512)
    for row, value in zip(rows, values, strict=True):
        assert row.payload["v"] == (value and [part and {**part, "m": as_dict(part["m"])} for part in value])


def as_dict(pairs):
    return None if pairs is None else dict(pairs)


@pytest.mark.parametrize("rows", [0, 3])
async def test_a_file_without_rows_or_row_groups_is_empty(root, open_file, rows):
    schema = pa.schema({"id": pa.int64(), "v": pa.list_(pa.int64())})
    with parquet.ParquetWriter(root / "rows.parquet", schema) as writer:
        if rows:
            writer.write_table(pa.table({"id": [], "v": []}, schema))
    source = open_file("rows.parquet")
    assert (await source.columns(), await source.count()) == (("id", "v"), 0)


async def test_a_row_group_of_any_size_is_read_in_little_memory(root):
    rows, width = 200_000, 500
    values = pa.py_buffer(random.Random(0).randbytes(rows * width))
    wide = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, values])
    parquet.write_table(pa.table({"v": wide}), root / "rows.parquet", row_group_size=rows, use_dictionary=False)
    assert convert_within(root, megabytes=96) == f"{rows} rows"


async def test_a_dictionary_of_huge_values_is_read_a_few_rows_at_a_time(root):
    values = pa.DictionaryArray.from_arrays([0] * 2_000, ["x" * 1_000_000])
    parquet.write_table(pa.table({"v": values}), root / "rows.parquet", compression="zstd")
    assert (root / "rows.parquet").stat().st_size < 20_000
    assert convert_within(root, megabytes=256) == "2000 rows"


async def test_a_value_beyond_the_limit_of_memory_is_refused_with_the_remedy(root):
    parquet.write_table(pa.table({"v": ["x" * 40_000_000]}), root / "rows.parquet", use_dictionary=False)
    assert convert_within(root, megabytes=96) == (
        "Its values need more memory than an import may take: write the file with smaller pages."
    )


def convert_within(root, *, megabytes):
    """Convert `rows.parquet` in a process that may take only so much memory; return its rows or its error."""
    program = f"""
import resource, sys
from pathlib import Path
from sources.errors import Unreadable
from sources.file.nested import nested_values
from sources.file.parquet_file import convert_parquet
resource.setrlimit(resource.RLIMIT_DATA, ({megabytes << 20}, {megabytes << 20}))
try:
    print(convert_parquet(sys.argv[1] + "/rows.parquet", Path(sys.argv[1], "staged")).rows, "rows")
except Unreadable as refused:
    print(refused)
"""
    command = [sys.executable, "-c", program, str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "The file has no columns"),
        (["id", "id"], 'The file has 2 columns called "id"'),
        (["id", "a\0b"], "NUL character in its name"),
    ],
)
async def test_names_that_a_payload_cannot_hold_are_refused_by_name(root, open_file, names, why):
    parquet.write_table(pa.Table.from_arrays([pa.array([1])] * len(names), names=names), root / "rows.parquet")
    with pytest.raises(Unreadable, match=why):
        await open_file("rows.parquet").count()


async def test_a_struct_with_a_name_twice_is_refused_by_its_column(root, open_file):
    fields = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    parquet.write_table(pa.table({"id": [1], "s": fields}), root / "rows.parquet")
    with pytest.raises(Unreadable, match='struct in the column "s" has 2 columns called "a"'):
        await open_file("rows.parquet").count()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"rows": 4}, "says that it has 4 rows, and holds 3"),
        ({"rows": 0}, "says that it has 0 rows, and holds 3"),
        ({"group_rows": 2}, "says that it has 3 rows, and holds 2"),
        ({"rows": 4, "group_rows": 4}, "says that it has 4 rows, and holds 3"),
        ({"rows": 2, "group_rows": 2}, 'the column "id" has 3 values, and 2 belong to its rows'),
        ({"rows": 0, "group_rows": 0}, 'the column "id" has 3 values, and 0 belong to its rows'),
    ],
)
async def test_a_file_whose_numbers_of_rows_differ_is_refused(root, open_file, claims, why):
    write_by_hand(root / "rows.parquet", HandColumn("id", INT64, list(map(i64, range(3)))), **claims)
    with pytest.raises(Unreadable, match=why):
        await open_file("rows.parquet").count()


@pytest.mark.parametrize(
    ("rows", "why"),
    [(58, "58 rows, and holds 57"), (56, 'column "v.list.element.list.element" has 113 values, and 111 belong')],
)
async def test_lists_that_end_before_or_behind_their_rows_are_refused(root, open_file, rows, why):
    lists = [None, [], [None], [[], [1, 2, 3]]] + [[[1, None]]] * 53
    parquet.write_table(pa.table({"v": lists}), root / "rows.parquet", write_statistics=False, store_schema=False)
    content = (root / "rows.parquet").read_bytes()
    claim, other = (bytes([0x16, number * 2]) for number in (57, rows))  # an integer of 64 bits, by Thrift
    assert content.count(claim) == 2  # the footer and its row group
    (root / "rows.parquet").write_bytes(content.replace(claim, other))
    with pytest.raises(Unreadable, match=why):
        await open_file("rows.parquet").count()


async def test_a_row_group_that_lacks_a_column_is_refused(root, open_file):
    column = [HandColumn(name, INT64, [i64(1)]) for name in ("id", "v")]
    write_by_hand(root / "rows.parquet", *column, lacking=1)
    with pytest.raises(Unreadable, match="row group metadata has only 1 columns"):
        await open_file("rows.parquet").count()


async def test_dictionaries_beside_int96_are_read_from_every_row_group(read):
    texts = [f"text {number % 7}" for number in range(40)]
    columns = {"t": pa.array(texts).dictionary_encode(), "at": pa.array(range(40), pa.timestamp("ns"))}
    rows = await read(columns, row_group_size=1, use_deprecated_int96_timestamps=True)
    assert [row.payload["t"] for row in rows] == texts


@pytest.mark.parametrize(
    ("type_", "value", "wanted"),
    [
        (pa.uuid(), b"\0" * 15 + b"\1", "00000000-0000-0000-0000-000000000001"),
        (pa.bool8(), 1, 1),
        (pa.json_(), '{"a": 1}', {"a": 1}),
        (pa.opaque(pa.list_(pa.duration("s")), "spans", "vendor"), [1], ["P0DT1S"]),
        (pa.fixed_shape_tensor(pa.int32(), [2]), [1, 2], [1, 2]),
    ],
)
async def test_extension_types_are_read_wherever_they_are_nested(read, type_, value, wanted):
    column = pa.ExtensionArray.from_storage(type_, pa.array([value, value], type_.storage_type))
    offsets = pa.array([0, None, 2], pa.int32())  # the second is null
    rows = await read(
        {
            "flat": column,
            "list": pa.ListArray.from_arrays(offsets, column),
            "map": pa.MapArray.from_arrays(offsets, pa.array(["k", "l"]), column),
            "lists": pa.ListArray.from_arrays([0, 2, 2], pa.StructArray.from_arrays([column], names=["x"])),
            "nulls": pa.nulls(2, pa.map_(pa.string(), type_)),
        },
        row_group_size=1,
    )
    assert [row.payload["flat"] for row in rows] == [wanted] * 2
    assert [row.payload["list"] for row in rows] == [[wanted] * 2, None]
    assert [row.payload["map"] for row in rows] == [{"k": wanted, "l": wanted}, None]
    assert [row.payload["lists"] for row in rows] == [[{"x": wanted}] * 2, []]
    assert [row.payload["nulls"] for row in rows] == [None, None]


async def test_nulls_without_a_type_within_maps_are_as_many_as_were_written(read):
    maps = [[("a", [None] * (number % 7)), ("b", None)] if number % 3 else None for number in range(9_000)]
    structs = [{"m": mapping} for mapping in maps]
    type_ = pa.map_(pa.string(), pa.list_(pa.null()))
    columns = {"m": pa.array(maps, type_), "s": pa.array(structs, pa.struct({"m": type_}))}
    rows = await read(columns, row_group_size=5_000)
    assert [row.payload["m"] for row in rows] == list(map(as_dict, maps))
    assert [row.payload["s"] for row in rows] == [{"m": as_dict(mapping)} for mapping in maps]


async def test_lists_of_a_fixed_size_that_are_null_are_read_wherever_they_are_nested(read):
    values = [[[1, 2], None], None, [None, [3, None]]] * 30
    type_ = pa.list_(pa.list_(pa.int8(), 2), 2)
    structs = [{"v": value} if number % 4 else None for number, value in enumerate(values)]
    columns = {"v": pa.array(values, type_), "s": pa.array(structs, pa.struct({"v": type_}))}
    rows = await read(columns, row_group_size=7)
    assert [row.payload["v"] for row in rows] == values
    assert [row.payload["s"] for row in rows] == structs


async def test_a_column_may_be_called_as_the_schema_of_arrow_is(read):
    columns = {"ARROW:schema": pa.array([1, 2], pa.duration("s")), "v": pa.array([3, 4])}
    assert payloads(await read(columns)) == [
        {"id": 0, "ARROW:schema": "P0DT1S", "v": 3},
        {"id": 1, "ARROW:schema": "P0DT2S", "v": 4},
    ]


async def test_a_footer_whose_arrow_schema_cannot_be_distinguished_is_refused(root, open_file):
    table = pa.table({"id": [1], "\x18\x0cARROW:schema\x18": [2]})
    parquet.write_table(table, root / "rows.parquet")
    with pytest.raises(Unreadable, match="write it without one"):
        await open_file("rows.parquet").count()
    parquet.write_table(table, root / "rows.parquet", store_schema=False)
    assert await open_file("rows.parquet").count() == 1


@pytest.mark.parametrize("schema", [b"", b"junk", b"/////w==", b"/////3AAAAAQAAAA"])
async def test_a_damaged_schema_of_arrow_is_refused_with_the_remedy(root, open_file, schema):
    table = pa.table({"id": [1]})
    with parquet.ParquetWriter(root / "rows.parquet", table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"ARROW:schema": schema})
    with pytest.raises(Unreadable, match=r"write it without one \(store_schema=False\)"):
        await open_file("rows.parquet").count()


@pytest.mark.parametrize(
    ("leaf", "columns"),
    [
        ("v.list.element", {"v": []}),
        ("v.x.list.element", {"v": {"n": 1, "x": []}}),
        ("v.list.element", {"v": [], "at": EPOCH}),
    ],
)
async def test_a_page_without_values_at_which_arrow_stops_is_refused_with_the_remedy(root, open_file, leaf, columns):
    texts = pa.list_(pa.string())
    types = {"v": texts if columns["v"] == [] else pa.struct({"n": pa.int8(), "x": texts}), "at": pa.timestamp("ns")}
    arrays = {"id": [1], **{name: pa.array([value], types[name]) for name, value in columns.items()}}
    options = {"use_dictionary": False, "column_encoding": {leaf: "DELTA_BYTE_ARRAY"}, "data_page_size": 1}
    parquet.write_table(pa.table(arrays), root / "rows.parquet", use_deprecated_int96_timestamps=True, **options)
    with pytest.raises(Unreadable, match="write the file again, with pages of the usual size"):
        await open_file("rows.parquet").count()


async def test_dictionaries_within_structs_are_read_from_every_row_group(read):
    texts = [f"text {number % 7}" for number in range(100)]
    type_ = pa.struct({"t": pa.dictionary(pa.int32(), pa.string())})
    rows = await read({"s": pa.array([{"t": text} for text in texts], type_)}, row_group_size=9)
    assert [row.payload["s"]["t"] for row in rows] == texts


async def test_a_page_with_a_wrong_checksum_is_refused(root, open_file):
    values = [f"value {number}" for number in range(100)]
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    parquet.write_table(pa.table({"id": values}), root / "rows.parquet", **options)
    content = (root / "rows.parquet").read_bytes()
    (root / "rows.parquet").write_bytes(content.replace(b"value 57", b"value 75", 1))
    with pytest.raises(Unreadable, match="CRC checksum verification failed"):
        await open_file("rows.parquet").count()


async def test_a_file_that_is_cut_off_anywhere_is_refused(root, open_file):
    parquet.write_table(pa.table({"id": range(50), "t": ["x" * 20] * 50}), root / "rows.parquet")
    content = (root / "rows.parquet").read_bytes()
    for length in range(0, len(content), 97):
        (root / "rows.parquet").write_bytes(content[:length])
        with pytest.raises(Unreadable) as refused:
            await open_file("rows.parquet").count()
        assert "/dev/fd" not in refused.value.detail


async def test_an_encrypted_file_is_refused_with_the_remedy(root, open_file):
    write_by_hand(root / "rows.parquet", HandColumn("id", INT64, [i64(1)]))
    content = (root / "rows.parquet").read_bytes()
    (root / "rows.parquet").write_bytes(content[:-4] + b"PARE")
    with pytest.raises(Unreadable, match="write it without encryption"):
        await open_file("rows.parquet").count()


async def test_an_unsupported_codec_is_refused_with_the_remedy(root, open_file):
    write_by_hand(root / "rows.parquet", HandColumn("id", INT64, [i64(1)], codec=LZO))
    with pytest.raises(Unreadable, match="write it with zstd, snappy, gzip or no compression"):
        await open_file("rows.parquet").count()


async def test_a_column_nested_too_deep_is_refused_by_name(root, open_file):
    for depth, wanted in ((100, None), (101, 'The column "v" is nested deeper than 100'), (200, "deeper than 100")):
        type_, value = pa.int64(), 1
        for _ in range(depth):
            type_, value = pa.list_(type_), [value]
        parquet.write_table(pa.table({"id": [1], "v": pa.array([value], type_)}), root / "rows.parquet")
        if wanted:
            with pytest.raises(Unreadable, match=wanted):
                await open_file("rows.parquet").count()
        else:
            source = open_file("rows.parquet")
            assert payloads(await read_all(source, await source.ranges(["id"], 5))) == [{"id": 1, "v": value}]


async def test_a_variant_is_refused_by_name(root, open_file):
    make(root / "rows.parquet", "SELECT 1 AS id, {'a': 1}::VARIANT AS v")
    with pytest.raises(Unreadable, match='column "v" is a VARIANT'):
        await open_file("rows.parquet").count()
