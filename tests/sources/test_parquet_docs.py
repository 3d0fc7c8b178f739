"""What docs/reference/sources/parquet.md says of types, each example tried as it stands there."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet, types

from tests.support.reading_sources import read_all

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sources" / "parquet.md"
DOCS = PAGE.read_text().split("\n## Types")[1].split("\n## ")[0]
ROW = re.compile(r"^\| `([a-z_0-9]+\(.*\))` \| `(.*)` \| (?:`(.*)`|reject: (.*)) \|$", re.MULTILINE)
EXAMPLES = ROW.findall(DOCS)


def test_the_docs_have_an_example_of_every_type():
    table = DOCS.split("| type | value |")[1].split("\n\n")[0]
    assert len(EXAMPLES) == len(table.splitlines()) - 2
    assert {name for type_, *_ in EXAMPLES for name in re.findall(r"[a-z_0-9]+(?=\()", type_)} >= {
        *("bool_", "int8", "int64", "uint32", "uint64", "float16", "float32", "float64", "null", "uuid", "json_"),
        *("decimal32", "decimal128", "decimal256", "string", "large_string", "string_view", "dictionary", "binary"),
        *("date32", "date64", "time32", "time64", "timestamp", "duration", "list_", "large_list", "struct", "map_"),
    }


async def test_a_value_is_converted_as_documented(root, open_file):
    accepted = [(column(type_, value), payload) for type_, value, payload, reason in EXAMPLES if not reason]
    write(root, [array for array, _ in accepted])
    (row,) = await read_rows(open_file)
    assert row.defect is None
    for number, (_, payload) in enumerate(accepted):
        assert json.dumps(row.payload[f"c{number}"]) == json.dumps(json.loads(payload)), EXAMPLES[number]


async def test_a_value_that_the_docs_reject_is_a_reject_of_its_row_for_that_reason(root, open_file):
    rejected = [(column(type_, value), reason) for type_, value, _, reason in EXAMPLES if reason]
    # A row for each, in which the others are null.
    write(
        root,
        [
            array.take(pa.array([0 if at == n else None for at in range(len(rejected))], pa.int32()))
            for n, (array, _) in enumerate(rejected)
        ],
    )
    rows = await read_rows(open_file)
    assert len(rows) == len(rejected)
    for number, (row, (_, reason)) in enumerate(zip(rows, rejected, strict=True)):
        assert row.defect.startswith(f"c{number} {reason}")
        assert f"c{number}" not in row.payload


def write(root, columns):
    arrays = {"id": pa.array(range(len(columns[0]))), **{f"c{number}": array for number, array in enumerate(columns)}}
    parquet.write_table(pa.table(arrays), root / "rows.parquet")


async def read_rows(open_file):
    source = open_file("rows.parquet")
    return await read_all(source, await source.ranges(["id"], 100))


def column(type_, value):
    """A column of one value, which is given as pyarrow takes it; decimals as text."""
    arrow_type = eval(type_, vars(pa))  # noqa: S307 - our own docs
    return array_of(arrow_type, eval(value, {"float": float}))  # noqa: S307


def array_of(type_, value):
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, array_of(type_.storage_type, value))
    if types.is_list(type_) and types.is_decimal(type_.value_type):
        return pa.array([[item and Decimal(item) for item in value]], type_)
    return pa.array([Decimal(value) if types.is_decimal(type_) else value], type_)
