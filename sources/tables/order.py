"""A table as it was looked up, the order that its rows are cut along, and the statements of a survey.

They are the same in every database, for all its ways of comparing and writing values.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from domain.key_forms import KeyForm
from domain.table_names import TableName

Convert: TypeAlias = Callable[[Any], Any]
"""From a value as a session gives it to a JSON value; raises NotJson where there is none."""


@dataclass(frozen=True, slots=True)
class BaseColumn:
    """A column. `type` is as the database's catalog has it.

    `convert` makes JSON of a value that isn't JSON yet. As a part of the key, `convert_key` does, and the value may be
    spelled as `key_form` says.
    """

    name: str
    type: str
    convert: Convert | None
    key_form: KeyForm
    convert_key: Convert | None


ColumnT = TypeVar("ColumnT", bound=BaseColumn)
IndexT = TypeVar("IndexT")


@dataclass(frozen=True, slots=True)
class BaseTable(Generic[ColumnT, IndexT]):
    """A table or view, which statements name as `quoted`, with the indexes that order whole values as their types do.

    `runs_code` if reading it may call user-defined functions.
    """

    name: TableName
    quoted: str
    runs_code: bool
    columns: tuple[ColumnT, ...]
    indexes: tuple[IndexT, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the table's order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class BaseOrder(ABC, Generic[ColumnT, IndexT]):
    """The key's columns in the order of the index that has them, or in the key's own where it `is_indexed` by none."""

    table: BaseTable[ColumnT, IndexT]
    columns: tuple[ColumnT, ...]
    is_indexed: bool

    @property
    @abstractmethod
    def terms(self) -> list[str]:
        """The columns as they are compared, of the table as `t`."""

    @property
    @abstractmethod
    def has_key(self) -> str:
        """The condition that no part of a row's key is null."""

    @property
    @abstractmethod
    def key_as_text(self) -> list[str]:
        """The key's values, each as a text that the database reads back as the same value."""

    @property
    def listed(self) -> str:
        """The terms, in order."""
        return ", ".join(self.terms)

    @property
    def members(self) -> Mapping[str, Any]:
        """The order of a range, as stored in it."""
        names, types = [column.name for column in self.columns], [column.type for column in self.columns]
        return {"key": names, "types": types, **self.details}

    @property
    def details(self) -> Mapping[str, Any]:
        """The stored members besides names and types."""
        return {}


Order: TypeAlias = BaseOrder[Any, Any]


def count_rows(table: BaseTable[Any, Any]) -> str:
    """Return the statement that counts the rows."""
    return f"SELECT count(*) FROM {table.quoted}"


def count_rows_and_keys(order: Order) -> str:
    """Return the statement that counts the rows, and those of them that have a key."""
    return f"SELECT count(*), count(CASE WHEN {order.has_key} THEN 1 END) FROM {order.table.quoted} AS t"


def cut_into_ranges(order: Order, batch_size: int) -> str:
    """Return the statement for the keys that ranges of so many rows begin with, each after the rows before it.

    It takes the key of each row whose number is a multiple, and counts the rows before the first that has an equal
    key: equal keys stay together, and one that spans several multiples comes several times.
    """
    names = ", ".join(f"r.k{number}" for number in range(len(order.columns)))
    return f"""
        SELECT r.rows_before, {names}
        FROM (
            SELECT {_named(order.key_as_text)}, rank() OVER w - 1 AS rows_before, row_number() OVER w - 1 AS number
            FROM {order.table.quoted} AS t
            WHERE {order.has_key}
            WINDOW w AS (ORDER BY {order.listed})
        ) AS r
        WHERE r.number % {batch_size:d} = 0
        ORDER BY r.number
    """


def find_last_key(order: Order) -> str:
    """Return the statement for the greatest key."""
    descending = ", ".join(f"{term} DESC" for term in order.terms)
    return f"""
        SELECT {_named(order.key_as_text)} FROM {order.table.quoted} AS t
        WHERE {order.has_key}
        ORDER BY {descending}
        LIMIT 1
    """


def _named(values: list[str]) -> str:
    return ", ".join(f"{value} AS k{number}" for number, value in enumerate(values))
