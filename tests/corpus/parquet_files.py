"""Making Parquet files: types by nestings by codecs, encodings and versions, and every option that pyarrow has."""

import io
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.corpus.expected import Case, Expected, Record, Refusal, Reject, Row
from tests.corpus.parquet_nesting import NESTINGS, Column, column_of
from tests.corpus.parquet_types import LEAVES, UNHELD, Drawn, Precision

Random = random.Random
CODECS = ("NONE", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4")
ENCODINGS_BY_PHYSICAL_TYPE: Mapping[str, Sequence[str]] = {
    "BOOLEAN": ("PLAIN", "RLE"),
    "INT32": ("PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"),
    "INT64": ("PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"),
    "INT96": ("PLAIN",),
    "FLOAT": ("PLAIN", "BYTE_STREAM_SPLIT"),
    "DOUBLE": ("PLAIN", "BYTE_STREAM_SPLIT"),
    "BYTE_ARRAY": ("PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"),
    "FIXED_LEN_BYTE_ARRAY": ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY"),
}
_NAMES = (
    "a", "A", "a.b", "b", "B", " a", "é", "日本", "c0", "c1", "file_row_number", "select", 'a"b', "x" * 200, "1", "a b",
    "{}", "list", "$", "a,b", "key_value", "\n", "-", "filename",
)  # fmt: skip
_OPTIONS_COUNTED = (
    "use_deprecated_int96_timestamps", "store_decimal_as_integer", "flavor", "coerce_timestamps", "write_page_checksum",
    "use_dictionary", "store_schema", "write_page_index", "use_content_defined_chunking",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the expected row for each of its rows."""

    table: pa.Table
    records: Sequence[Record]
    holds_what_json_has_no_word_for: bool


def draw_parquet(name: str, rng: Random) -> Case:
    """Return a file with a handful of columns, and its expected rows."""
    options, precision = draw_options(rng)
    columns = draw_columns(rng, options)
    table = draw_table(rng, columns, precision, rng.choice((0, 1, 5, 40, 120)))
    try:
        content, encodings = write(rng, table.table, options)
    except (pa.ArrowNotImplementedError, pa.ArrowIndexError):
        return draw_parquet(name, rng)  # pyarrow can't write that
    found = parquet.read_schema(io.BytesIO(content)).names  # which Spark's flavour changes
    renamed = dict(zip(table.table.column_names, found, strict=True))
    records = [_renamed(record, renamed) for record in table.records]
    expected = Expected(tuple(found), records, _agree(name, table, content, precision))
    tags = frozenset({*_tags(columns.values(), options), *(f"encoding {encoding}" for encoding in encodings)})
    batch_size = rng.choice((1, 7, 50)) if len(records) < 60 else 30
    return Case(f"{name}.parquet", content, expected, ("id",), tags, batch_size)


def draw_columns(rng: Random, options: Mapping[str, Any]) -> dict[str, Column]:
    """Return columns by their names, which may differ in case only or look like paths."""
    leaves = rng.sample(LEAVES, rng.choice((1, 4, 7)))
    drawn = [column_of(rng, leaf, "flat" if rng.random() < 0.4 else rng.choice(list(NESTINGS))) for leaf in leaves]
    columns = [column for column in drawn if can_be_written(column, options)]
    plain = [f"n{number}" for number in range(len(columns))]
    names = rng.sample(_NAMES, len(columns)) if rng.random() < 0.5 else plain
    return dict(zip(names, columns, strict=True))


def _tags(columns: Iterable[Column], options: Mapping[str, Any]) -> set[str]:
    """Return the features of a file, and each pair of a type with its codec and its nesting."""
    tags = {f"version {options['version']}", f"page version {options['data_page_version']}"}
    codec = f"codec {options['compression']}"
    for column in columns:
        leaf, nesting = f"leaf {column.leaf}", f"nesting {column.nesting}"
        tags |= {leaf, nesting, codec, f"{leaf} × {codec}", f"{leaf} × {nesting}"}
    return tags | {option for option in _OPTIONS_COUNTED if options.get(option)}


def draw_options(rng: Random) -> tuple[dict[str, Any], Precision]:
    """Return options of a file, and what they leave of its moments."""
    options: dict[str, Any] = {
        "compression": rng.choice(CODECS),
        "version": rng.choice(("1.0", "2.4", "2.6", "2.6")),
        "data_page_version": rng.choice(("1.0", "2.0")),
        "use_dictionary": rng.random() < 0.5,
        "row_group_size": rng.choice((1, 3, 10, 1000)),
        "data_page_size": rng.choice((64, 1000, 1 << 20)),
        "dictionary_pagesize_limit": rng.choice((16, 1 << 20)),
        "write_batch_size": rng.choice((1, 7, 1024)),
        "write_statistics": rng.random() < 0.7,
        "write_page_checksum": rng.random() < 0.3,
        "write_page_index": rng.random() < 0.2,
        "store_schema": rng.random() < 0.6,
        "store_decimal_as_integer": rng.random() < 0.4,
        "use_compliant_nested_type": rng.random() < 0.8,
        "use_content_defined_chunking": rng.random() < 0.1,
    }
    multiple = 1 if options["version"] == "2.6" else 1000
    drawn = rng.random()
    if drawn < 0.15:
        options["use_deprecated_int96_timestamps"] = True
    elif drawn < 0.2:
        options["flavor"] = "spark"
    elif drawn < 0.35:
        options["coerce_timestamps"] = rng.choice(("ms", "us"))
        multiple = 10**6 if options["coerce_timestamps"] == "ms" else 1000
    return options, Precision(multiple, is_int96=drawn < 0.2)


def can_be_written(column: Column, options: Mapping[str, Any]) -> bool:
    """Say whether pyarrow can write such a column: it has no slices of views, and casts no list views."""
    if column.nesting == "list_view" and column.leaf in ("uuid", "json", "bool8", "opaque"):
        return False
    return not (options["use_content_defined_chunking"] and "_view" in column.leaf)


def draw_table(rng: Random, columns: Mapping[str, Column], precision: Precision, rows: int) -> Table:
    """Return a table with these columns and a key, `id`."""
    values: dict[str, list[Drawn]] = {
        name: [column.draw(rng, precision) for _ in range(rows)] for name, column in columns.items()
    }
    fields = [pa.field(name, column.type, nullable=column.is_nullable) for name, column in columns.items()]
    arrays = [_array([value for value, _ in values[name]], column.type) for name, column in columns.items()]
    at = rng.randrange(len(fields) + 1)
    fields.insert(at, pa.field("id", pa.int64(), nullable=False))
    arrays.insert(at, pa.array(range(rows), pa.int64()))
    records = [_record(number, {name: drawn[number][1] for name, drawn in values.items()}) for number in range(rows)]
    holds_others = any(wanted is UNHELD for drawn in values.values() for _, wanted in drawn)
    return Table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), records, holds_others)


def _record(number: int, wanted: Mapping[str, Any]) -> Record:
    for name, value in wanted.items():
        if value is UNHELD:
            return Reject(column=name)
    return Row({"id": number, **wanted})


def _array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    array = pa.array(values, _stored(type_))
    return array if array.type == type_ else array.cast(type_)


def _stored(type_: pa.DataType) -> pa.DataType:
    """Return a type with what its extension types are stored as in their place: pyarrow makes no others from values."""
    if isinstance(type_, pa.BaseExtensionType):
        return type_.storage_type
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_stored(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, _stored(type_.item_type))
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(_stored(type_.value_type), type_.list_size)
    if pa.types.is_list(type_):
        return pa.list_(_stored(type_.value_type))
    return pa.large_list(_stored(type_.value_type)) if pa.types.is_large_list(type_) else type_


def write(rng: Random, table: pa.Table, options: Mapping[str, Any]) -> tuple[bytes, frozenset[str]]:
    """Return a table as a file; without dictionaries each column gets an encoding that its physical type allows."""
    chosen = dict(options)
    encodings = {"RLE_DICTIONARY"} if options["use_dictionary"] else set()
    if not options["use_dictionary"]:
        chosen["column_encoding"] = column_encodings(rng, table, options)
        encodings |= set(chosen["column_encoding"].values())
    file = io.BytesIO()
    parquet.write_table(table, file, **chosen)
    return file.getvalue(), frozenset(encodings)


def column_encodings(rng: Random, table: pa.Table, options: Mapping[str, Any]) -> dict[str, str]:
    """Return an encoding for each column of leaves, by its path."""
    file = io.BytesIO()
    parquet.write_table(table.slice(0, 0), file, **options)
    leaves = parquet.ParquetFile(file).schema
    return {
        leaves.column(number).path: rng.choice(ENCODINGS_BY_PHYSICAL_TYPE[leaves.column(number).physical_type])
        for number in range(len(leaves))
    }


def _renamed(record: Record, renamed: Mapping[str, str]) -> Record:
    match record:
        case Row(payload):
            return Row({renamed[name]: value for name, value in payload.items()})
        case Reject(_, column):
            return Reject(column=renamed[column or ""])


def _agree(name: str, table: Table, content: bytes, precision: Precision) -> Refusal | None:
    """Fail where pyarrow reads something else than it was given: then the corpus itself is wrong.

    What it wrote and can't read, an importer may refuse.
    """
    try:
        read = parquet.read_table(io.BytesIO(content))
    except (OSError, pa.ArrowException):
        return Refusal(".", is_certain=False)
    assert read.num_rows == len(table.records), name
    if (
        table.holds_what_json_has_no_word_for or precision.is_int96
    ):  # NaN equals nothing, and INT96 reaches further than nanoseconds
        return None
    for found, given in zip(map(_plain, read.columns), map(_plain, table.table.columns), strict=True):
        if "dictionary" not in str(given.type) and found.type == given.type:
            assert found.equals(given), f"{name}: a column of {given.type}"
    return None


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without its dictionary, which may be another and say the same."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
