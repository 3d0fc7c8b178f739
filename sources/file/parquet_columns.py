"""The columns of a Parquet file and how their values are staged; nested columns follow the same rules as others."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
from pyarrow import parquet

from sources.errors import Unreadable, echoed
from sources.file.nested import depth, encoded, leaf_arrays, names_within, nested_values
from sources.file.parquet_values import Leaf, Staging, staging_of
from sources.values import MAX_DEPTH, Kind

_VARIANT = re.compile(r" (\S+) \(Variant\(.*\{$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how each of its leaves is staged. A column that isn't nested is its own and only leaf."""

    name: str
    type: pa.DataType
    kind: Kind
    leaves: Sequence[Staging]
    is_nested: bool = False

    @property
    def holds_int96(self) -> bool:
        """Whether its values must be read a second time, in whole seconds."""
        return any(leaf.needs_seconds for leaf in self.leaves)

    def stage(self, batch: pa.RecordBatch, seconds: pa.RecordBatch | None) -> tuple[pa.Array, Sequence[int]]:
        """Return the staged values of a batch, and the number of values that Parquet counts for each leaf."""
        array = batch.column(self.name)
        in_seconds = seconds.column(self.name) if self.holds_int96 and seconds is not None else array
        if not self.is_nested:
            ((values, count),), ((whole, _),) = leaf_arrays(array), leaf_arrays(in_seconds)
            return self.leaves[0].convert(values, whole), [count]
        values, counts = [], []
        for leaf, (leaf_values, count), (whole, _) in zip(
            self.leaves, leaf_arrays(array), leaf_arrays(in_seconds), strict=True
        ):
            values.append(leaf.to_json(leaf.convert(leaf_values, whole)))
            counts.append(count)
        return pa.array(map(encoded, nested_values(array, iter(values))), self.type), counts


def leaves_of(schema: parquet.ParquetSchema) -> list[Leaf]:
    """Return the file's description of each leaf column; raises Unreadable for a VARIANT."""
    if variant := _VARIANT.search(str(schema)):
        raise Unreadable(f"The column {echoed(variant[1])} is a VARIANT: write it as a text of JSON.")
    return [_leaf(schema.column(number)) for number in range(len(schema))]


def _leaf(column: parquet.ColumnSchema) -> Leaf:
    # Arrow doesn't expose the annotations of old files, and drops UTC from their timestamps.
    annotation = json.loads(column.logical_type.to_json())
    return Leaf(column.physical_type, annotation["Type"], is_utc=annotation.get("isAdjustedToUTC", False))


def columns_of(schema: pa.Schema, leaves: Iterable[Leaf], arrow_schema: pa.Schema) -> list[Column]:
    """Return the columns; `leaves` holds all of their leaves in order. Raises Unreadable for an unsupported type.

    `arrow_schema` has the same columns with the writer's Arrow types: Parquet has no type for durations.
    """
    if not schema.names:
        raise Unreadable("The file has no columns: write it with at least one, which is the key.")
    _refuse_names(schema.names, "The file has")
    remaining = iter(leaves)
    columns = [
        _column(field, arrow_type, remaining) for field, arrow_type in zip(schema, arrow_schema.types, strict=True)
    ]
    if next(remaining, None) is not None:
        raise Unreadable("Its columns aren't those of its schema: write the file again.")
    return columns


def _column(field: pa.Field, arrow_type: pa.DataType, remaining: Iterator[Leaf]) -> Column:
    types = list(_with_durations(field.type, arrow_type))
    own = list(islice(remaining, len(types)))
    leaves = []
    for leaf, type_ in zip(own, types, strict=True):
        if (staging := staging_of(leaf, type_)) is None:
            what = f"The column {echoed(field.name)} is of the type {type_}"
            raise Unreadable(f"{what}, which can't be imported: write it as another type.")
        leaves.append(staging)
    if not pa.types.is_nested(field.type):
        return Column(field.name, leaves[0].type, leaves[0].kind, leaves)
    if depth(field.type) > MAX_DEPTH:
        raise Unreadable(
            f"The column {echoed(field.name)} is nested deeper than {MAX_DEPTH} levels: write what lies deeper as a "
            "text of JSON."
        )
    for names in names_within(field.type):
        _refuse_names(names, f"A struct in the column {echoed(field.name)} has")
    return Column(field.name, pa.large_string(), Kind.DOCUMENT, leaves, is_nested=True)


def _with_durations(type_: pa.DataType, arrow_type: pa.DataType) -> Iterator[pa.DataType]:
    """Yield the types of a column's leaves, a duration where the writer's Arrow had one."""
    if isinstance(arrow_type, pa.BaseExtensionType):
        arrow_type = arrow_type.storage_type
    if not pa.types.is_nested(type_):
        yield arrow_type if pa.types.is_duration(arrow_type) else type_
    for number in range(type_.num_fields):
        yield from _with_durations(type_.field(number).type, arrow_type.field(number).type)


def _refuse_names(names: Sequence[str], of_what: str) -> None:
    """Refuse names that a payload can't hold: a repeated name, or a name with a NUL character."""
    for name, times in Counter(names).items():
        if times > 1:
            raise Unreadable(f"{of_what} {times} columns called {echoed(name)}: give each another name.")
        if "\0" in name:
            raise Unreadable(f"{of_what} a column with a NUL character in its name: give it another name.")
