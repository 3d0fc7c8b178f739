"""Types inside types: lists, structs and maps of every leaf, with nulls at each level."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tests.corpus.parquet_types import UNHELD, Drawn, Leaf, Precision, day_text

Random = random.Random


@dataclass(frozen=True, slots=True)
class Column:
    """A column's type and how its values are drawn; `leaf` and `nesting` say what it is made of."""

    type: pa.DataType
    draw: Callable[[Random, Precision], Drawn]
    leaf: str
    nesting: str
    is_nullable: bool


def column_of(rng: Random, leaf: Leaf, nesting: str) -> Column:
    """Return a column of a leaf, nested in one of the ways that NESTINGS names."""
    is_nullable = leaf.name == "null" or rng.random() < 0.8
    type_, draw = NESTINGS[nesting](leaf.type, leaf.draw)
    return Column(type_, _or_null(draw) if is_nullable else draw, leaf.name, nesting, is_nullable)


def _or_null(draw: Callable[[Random, Precision], Drawn]) -> Callable[[Random, Precision], Drawn]:
    def drawn(rng: Random, precision: Precision) -> Drawn:
        return (None, None) if rng.random() < 0.15 else draw(rng, precision)

    return drawn


Nested = tuple[pa.DataType, Callable[[Random, Precision], Drawn]]


def _flat(type_: pa.DataType, draw: Any) -> Nested:
    return type_, draw


def _list_of(
    make: Callable[[pa.DataType], pa.DataType], lengths: tuple[int, ...] = (0, 1, 2, 5)
) -> Callable[..., Nested]:
    def nested(type_: pa.DataType, draw: Any) -> Nested:
        item = _or_null(draw)

        def drawn(rng: Random, precision: Precision) -> Drawn:
            items = [item(rng, precision) for _ in range(rng.choice(lengths))]
            return [value for value, _ in items], _together([wanted for _, wanted in items])

        return make(type_), drawn

    return nested


def _together(wanted: list[Any]) -> Any:
    return UNHELD if any(value is UNHELD for value in wanted) else wanted


def _struct(type_: pa.DataType, draw: Any) -> Nested:
    item = _or_null(draw)
    # Names that differ in case only, and one that looks like a path.
    made = pa.struct([pa.field("a", type_), pa.field("A", pa.int32()), pa.field("b.c", pa.string(), nullable=False)])

    def drawn(rng: Random, precision: Precision) -> Drawn:
        value, wanted = item(rng, precision)
        number = rng.choice((None, 1, -5))
        struct = {"a": value, "A": number, "b.c": "x"}
        return struct, UNHELD if wanted is UNHELD else struct | {"a": wanted}

    return made, drawn


def _map_of(keys: str) -> Callable[..., Nested]:
    type_of_keys, spelled = _KEYS[keys]

    def nested(type_: pa.DataType, draw: Any) -> Nested:
        item = _or_null(draw)

        def drawn(rng: Random, precision: Precision) -> Drawn:
            names = rng.sample(range(9), rng.randrange(4))
            items = [item(rng, precision) for _ in names]
            pairs = [(spelled(name)[0], value) for name, (value, _) in zip(names, items, strict=True)]
            wanted = {spelled(name)[1]: value for name, (_, value) in zip(names, items, strict=True)}
            if pairs and rng.random() < 0.01:
                return [*pairs, pairs[0]], UNHELD
            return pairs, UNHELD if any(value is UNHELD for value in wanted.values()) else wanted

        return pa.map_(type_of_keys, type_), drawn

    return nested


_KEYS: Mapping[str, tuple[pa.DataType, Callable[[int], tuple[Any, str]]]] = {
    "string": (pa.string(), lambda number: ("abcÀ.-é \U0001f600"[number],) * 2),
    "int64": (pa.int64(), lambda number: (number * 3 - 7, str(number * 3 - 7))),
    "date": (pa.date32(), lambda number: (number, day_text(number) or "")),
}


def _inside(outer: str, inner: str) -> Callable[..., Nested]:
    def nested(type_: pa.DataType, draw: Any) -> Nested:
        return NESTINGS[outer](*NESTINGS[inner](type_, draw))

    return nested


def _deep(type_: pa.DataType, draw: Any) -> Nested:
    """Structs of lists of structs, a dozen of them."""
    for _ in range(6):
        type_, draw = _list_of(pa.list_, (1, 2))(*_only_member(type_, draw))
    return type_, draw


def _only_member(type_: pa.DataType, draw: Any) -> Nested:
    def drawn(rng: Random, precision: Precision) -> Drawn:
        value, wanted = draw(rng, precision)
        return {"x": value}, UNHELD if wanted is UNHELD else {"x": wanted}

    return pa.struct([("x", type_)]), drawn


NESTINGS: Mapping[str, Callable[..., Nested]] = {
    "flat": _flat,
    "list": _list_of(pa.list_),
    "large_list": _list_of(pa.large_list),
    "fixed_size_list": _list_of(lambda type_: pa.list_(type_, 3), (3,)),
    "list_view": _list_of(pa.list_view),
    "struct": _struct,
    "map of string": _map_of("string"),
    "map of int64": _map_of("int64"),
    "map of date": _map_of("date"),
    "list of list": _inside("list", "list"),
    "list of struct": _inside("list", "struct"),
    "struct of list": _inside("struct", "list"),
    "struct of struct": _inside("struct", "struct"),
    "list of map": _inside("list", "map of string"),
    "map of list": _inside("map of string", "list"),
    "map of struct": _inside("map of int64", "struct"),
    "deep": _deep,
}
