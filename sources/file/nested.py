"""Nested Arrow values as JSON: split into leaf arrays, and rebuilt from the converted leaves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import compute, types

from sources.values import DEFECT


@dataclass(frozen=True, slots=True)
class Defect:
    """Replaces a value that neither JSON nor the database can represent; `reason` says why."""

    reason: str


def depth(type_: pa.DataType) -> int:
    """Return how many lists, maps and structs lie in each other in a value of this type."""
    if types.is_map(type_):
        return 1 + max(depth(type_.key_type), depth(type_.item_type))
    if not types.is_nested(type_):
        return 0
    return 1 + max((depth(type_.field(number).type) for number in range(type_.num_fields)), default=0)


def names_within(type_: pa.DataType) -> Iterator[Sequence[str]]:
    """Yield the names of the fields of each struct in a type."""
    if types.is_struct(type_):
        yield [field.name for field in type_]
    for number in range(type_.num_fields):
        yield from names_within(type_.field(number).type)


def leaf_arrays(array: pa.Array, *, absent: int = 0) -> Iterator[tuple[pa.Array, int]]:
    """Yield the leaf arrays in the order of the type, without the values inside null containers.

    With each comes how many values Parquet counts: its own, and one for each list that is null or empty, of which
    `absent` are in the lists that hold the array.
    """
    if types.is_struct(array.type):
        for child in _children(array):
            yield from leaf_arrays(child, absent=absent)
    elif types.is_nested(array.type):
        has_items = compute.greater(compute.list_value_length(_lists(array)[0]), 0)
        absent += len(array) - (compute.sum(has_items).as_py() or 0)
        for child in _children(array):
            yield from leaf_arrays(child, absent=absent)
    else:
        yield array, len(array) + absent


def _children(array: pa.Array) -> Sequence[pa.Array]:
    """Return a struct's fields, a list's items, or a map's keys and values, without those inside null containers."""
    if types.is_struct(array.type):
        fields: Sequence[pa.Array] = array.flatten()
        return fields
    return [part.flatten() for part in _lists(array)]


def _lists(array: pa.Array) -> Sequence[pa.Array]:
    """Return a map as the lists of its keys and of its values; a list as it is.

    Their parts are the map's own: casts and views of nulls within it lose some, or end the process (Arrow 26.0.1).
    """
    if not types.is_map(array.type):
        return [array]
    return [
        pa.Array.from_buffers(
            pa.list_(part.type), len(array), array.buffers()[:2], offset=array.offset, children=[part]
        )
        for part in (array.keys, array.items)
    ]


def nested_values(array: pa.Array, values: Iterator[list[Any]]) -> list[Any]:
    """Return an array's values of dicts and lists, given those of each of its leaf arrays, converted.

    A map becomes a dict, keys that aren't text become the text of their JSON.
    """
    if not types.is_nested(array.type):
        return next(values)
    children = [nested_values(child, values) for child in _children(array)]
    if types.is_struct(array.type):
        names = [field.name for field in array.type]
        rows = zip(array.is_valid().to_pylist(), *children, strict=True)
        return [dict(zip(names, row, strict=True)) if is_valid else None for is_valid, *row in rows]
    items = zip(*children, strict=True) if types.is_map(array.type) else iter(children[0])
    lengths = compute.list_value_length(_lists(array)[0]).to_pylist()
    lists = (None if length is None else list(islice(items, length)) for length in lengths)
    return [_dict_of(entries) for entries in lists] if types.is_map(array.type) else list(lists)


def _dict_of(entries: Sequence[tuple[Any, Any]] | None) -> dict[str, Any] | Defect | None:
    if entries is None:
        return None
    members: dict[str, Any] = {}
    for key, value in entries:
        if key is None:
            return Defect("holds a map with a key that is null")
        name = key if isinstance(key, str) else encoded(key) or ""
        if name.startswith(DEFECT):
            return Defect(name.removeprefix(DEFECT))
        if name in members:
            return Defect("holds a map with a key twice")
        members[name] = value
    return members


def encoded(value: Any) -> str | None:
    """Return a value as a staged document, or the reason why there is none; null stays null."""
    if value is None:
        return None
    try:
        return orjson.dumps(value, default=_refuse, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except TypeError as error:
        reason = error.__cause__
        # orjson refuses only the depth: it can encode every other value that occurs here.
        return DEFECT + (str(reason) if isinstance(reason, _Refused) else "is nested too deep")


class _Refused(Exception):
    """A Defect was met."""


def _refuse(value: Any) -> Any:
    raise _Refused(value.reason)
