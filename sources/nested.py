"""Nested Arrow values as JSON: taken apart into the arrays that hold values, and put together from converted ones."""

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
    """Stands for a value that JSON has no word for, or that the database can't hold; `reason` says why."""

    reason: str


def stored_type(type_: pa.DataType) -> pa.DataType:
    """Return what an extension type is stored as, which is what Parquet knows; another type as it is."""
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def leaf_types(type_: pa.DataType) -> Iterator[pa.DataType]:
    """Yield the types of the arrays that `leaf_arrays` yields of an array of this type."""
    type_ = stored_type(type_)
    if types.is_struct(type_):
        for field in type_:
            yield from leaf_types(field.type)
    elif types.is_map(type_):
        yield from leaf_types(type_.key_type)
        yield from leaf_types(type_.item_type)
    elif types.is_nested(type_):
        yield from leaf_types(type_.value_type)
    elif types.is_dictionary(type_):
        yield type_.value_type
    else:
        yield type_


def depth(type_: pa.DataType) -> int:
    """Return how many lists, maps and structs lie in each other in a value of this type."""
    type_ = stored_type(type_)
    if types.is_map(type_):
        return 1 + max(depth(type_.key_type), depth(type_.item_type))
    inner = [depth(type_.field(number).type) for number in range(type_.num_fields)]
    return 1 + max(inner) if inner else 0


def holds_dictionary(type_: pa.DataType) -> bool:
    """Return whether a type has a dictionary within it."""
    type_ = stored_type(type_)
    return types.is_dictionary(type_) or any(
        holds_dictionary(type_.field(number).type) for number in range(type_.num_fields)
    )


def names_within(type_: pa.DataType) -> Iterator[Sequence[str]]:
    """Yield the names of the fields of each struct in a type."""
    type_ = stored_type(type_)
    if types.is_struct(type_):
        yield [field.name for field in type_]
    for number in range(type_.num_fields):
        yield from names_within(type_.field(number).type)


def leaf_arrays(array: pa.Array, *, absent: int = 0) -> Iterator[tuple[pa.Array, int]]:
    """Yield the arrays of values in the order of the type; values within what is null stand in none of them.

    With each comes how many values Parquet counts: its own, and one for each list that is null or empty, of which
    `absent` are in the lists that hold the array.
    """
    array = _stored(array)
    if types.is_struct(array.type):
        for child in _children(array):
            yield from leaf_arrays(child, absent=absent)
    elif types.is_nested(array.type):
        has_items = compute.greater(compute.list_value_length(_as_list(array)), 0)
        absent += len(array) - (compute.sum(has_items).as_py() or 0)
        for child in _children(array):
            yield from leaf_arrays(child, absent=absent)
    else:
        values = array.dictionary_decode() if types.is_dictionary(array.type) else array
        yield values, len(values) + absent


def _stored(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def _children(array: pa.Array) -> Sequence[pa.Array]:
    """Return a struct's fields, a list's items, or a map's keys and values, without those of what is null."""
    if types.is_struct(array.type):
        fields: Sequence[pa.Array] = array.flatten()
        return fields
    items = _as_list(array).flatten()
    return items.flatten() if types.is_map(array.type) else [items]


def _as_list(array: pa.Array) -> pa.Array:
    """Return a map as the list of its entries, which it is to Parquet; a list as it is."""
    if not types.is_map(array.type):
        return array
    return array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))


def nested_values(array: pa.Array, values: Iterator[list[Any]]) -> list[Any]:
    """Return an array's values of dicts and lists, given those of each of its leaf arrays, converted.

    A map becomes a dict, keys that aren't text become the text of their JSON. Raises ValueError where the parts of the
    array don't fit each other: Arrow reads some lists of a fixed size so (26.0.1).
    """
    array = _stored(array)
    if not types.is_nested(array.type):
        return next(values)
    children = [nested_values(child, values) for child in _children(array)]
    if types.is_struct(array.type):
        names = [field.name for field in array.type]
        rows = zip(array.is_valid().to_pylist(), *children, strict=True)
        return [dict(zip(names, row, strict=True)) if is_valid else None for is_valid, *row in rows]
    items = zip(*children, strict=True) if types.is_map(array.type) else iter(children[0])
    lengths = compute.list_value_length(_as_list(array)).to_pylist()
    if sum(filter(None, lengths)) != len(children[0]):
        raise ValueError("a list's items are others than its length says")
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
    """Return a value as a staged document, or why there is none; null stays what it is."""
    if value is None:
        return None
    try:
        return orjson.dumps(value, default=_refuse, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except TypeError as error:
        reason = error.__cause__
        # Else orjson refuses the depth: it knows every other value there is here.
        return DEFECT + (str(reason) if isinstance(reason, _Refused) else "is nested too deep")


class _Refused(Exception):
    """A Defect was met."""


def _refuse(value: Any) -> Any:
    raise _Refused(value.reason)
