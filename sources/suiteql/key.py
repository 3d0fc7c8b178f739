"""A key in SuiteQL: whether the service's order agrees with its comparisons, and the conditions that cut along it."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from sources import key_ranges
from sources.errors import KeyUnusable

Values: TypeAlias = tuple[Any, ...]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?=.{1,16}$)(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])")
"""A number in the service's spelling, of no more digits than a double holds. `00`, `1.50` and 20 digits are text."""
MAX_COLUMNS = 4


@dataclass(slots=True)
class KeyOrder:
    """The columns of a key, and the ways of comparing by which all keys so far are ascending.

    The service may order text by the rules of a language and compare it byte by byte; ranges cut along such a key would
    overlap and leave gaps. So each column is compared as numbers or as text by code points, and a way that the keys
    contradict is dropped.
    """

    columns: tuple[str, ...]
    ways: list[tuple[bool, ...]] = field(default_factory=list)
    """For each remaining way: whether each column is a number. Numbers come first."""
    _last: Values | None = None

    def __post_init__(self) -> None:
        if len(self.columns) > MAX_COLUMNS or not all(map(_NAME.fullmatch, self.columns)):
            raise KeyUnusable("The key has a column whose name can't stand in a condition, or too many columns.")
        self.ways = list(itertools.product((True, False), repeat=len(self.columns)))

    @property
    def numeric(self) -> tuple[bool, ...]:
        """The columns that are compared as numbers, by the keys seen so far."""
        return self.ways[0]

    def follow(self, key: Values) -> None:
        """Compare the next key in the service's order; raises KeyUnusable if no way of comparing remains."""
        if self._last != key:
            last = self._last
            self.ways = [way for way in self.ways if _is_ascending(last, key, way)]
            self._last = key
        if not self.ways:
            raise KeyUnusable("The service doesn't order the key's values as it compares them.")

    def key_of(self, item: dict[str, Any]) -> Values:
        """Return a row's key; raises KeyUnusable for values that can't stand in a condition."""
        key = tuple(item.get(column) for column in self.columns)
        if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in key):
            raise KeyUnusable("The key has values that are neither text nor whole numbers.")
        return key

    @property
    def listed(self) -> str:
        """The columns, in order."""
        return ", ".join(self.columns)

    @property
    def has_key(self) -> str:
        """The condition that no part of a row's key is null."""
        return " AND ".join(f"{column} IS NOT NULL" for column in self.columns)


def compared(columns: Sequence[str], operator: str, values: Sequence[Any], numeric: Sequence[bool]) -> str:
    """Return the condition that compares a key with another by `>=`, `<` or `<=`."""
    literals = [literal(value, is_number=is_number) for value, is_number in zip(values, numeric, strict=True)]
    return key_ranges.compared(columns, operator, literals)


def literal(value: Any, *, is_number: bool) -> str:
    """Return a value as a literal of a query: digits, or quoted text; raises KeyUnusable for other values."""
    text = str(value)
    if is_number:
        if not _NUMBER.fullmatch(text):
            raise KeyUnusable("A key that was a number is none.")
        return text
    return "'" + text.replace("'", "''") + "'"


def _is_ascending(last: Values | None, key: Values, way: tuple[bool, ...]) -> bool:
    if any(is_number and not _NUMBER.fullmatch(str(value)) for value, is_number in zip(key, way, strict=True)):
        return False
    return last is None or _sortable(last, way) < _sortable(key, way)


def _sortable(key: Values, way: tuple[bool, ...]) -> tuple[Any, ...]:
    return tuple(Decimal(str(value)) if is_number else str(value) for value, is_number in zip(key, way, strict=True))
