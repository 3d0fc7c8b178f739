"""The order that a table's rows are cut along, and the statements that rest on it.

Text is compared by the collation of its column, as its index orders it. What that finds equal lies in one range.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sources.errors import KeyUnusable, SourceChanged, echoed
from sources.key_ranges import compared
from sources.mysql.catalog import Column, Table
from sources.mysql.types import Part


@dataclass(frozen=True, slots=True)
class Order:
    """The key's columns in the order of the index that has them."""

    table: Table
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    is_indexed: bool

    @property
    def terms(self) -> list[str]:
        """The columns as they are compared."""
        return [column.term for column in self.columns]

    @property
    def has_key(self) -> str:
        """The condition that no part of a row's key is null.

        `IS NULL` holds for the date of zeros too, where a column may not be null.
        """
        return " AND ".join(f"NOT ({column.term} <=> NULL)" for column in self.columns if column.is_nullable) or "TRUE"

    @property
    def lacks_key(self) -> str:
        """The condition that a part of it is."""
        return " OR ".join(f"{column.term} <=> NULL" for column in self.columns if column.is_nullable) or "FALSE"

    @property
    def exported(self) -> str:
        """The key's values, each as text that `literals` takes."""
        pairs = zip(self.columns, self.parts, strict=True)
        return ", ".join(f"{part.export.format(column.term)} AS k{n}" for n, (column, part) in enumerate(pairs))

    def literals(self, key: Sequence[str]) -> list[str]:
        """Return a key as it stands in a condition; raises SourceChanged for what the columns' types never gave."""
        if len(key) != len(self.parts):
            raise SourceChanged("The range has another key than its columns: start the import again.")
        for value, part in zip(key, self.parts, strict=True):
            if not re.fullmatch(part.pattern, value):
                raise SourceChanged("The range begins or ends with no value of its column: start the import again.")
        return [part.literal.format(value) for value, part in zip(key, self.parts, strict=True)]


def order_by(table: Table, key: Sequence[str], *, as_given: bool = False) -> Order:
    """Return the order of the first index that begins with the key's columns, whatever their order in the key.

    Without one, or `as_given`, it is the key's own order. Raises KeyUnusable for a column that has none.
    """
    column_by_name = {column.name: column for column in table.columns}
    indexed = next((index[: len(key)] for index in table.indexes if set(index[: len(key)]) == set(key)), None)
    columns = tuple(column_by_name[name] for name in (key if as_given or indexed is None else indexed))
    parts = []
    for column in columns:
        if column.carried.part is None:
            kind = echoed(column.type)
            raise KeyUnusable(
                f"{echoed(column.name)} is of type {kind}, along which nothing is cut: choose another key."
            )
        parts.append(column.carried.part)
    return Order(table, columns, tuple(parts), indexed is not None)


def count_rows_and_keyless(order: Order) -> str:
    """Return the statement that counts the rows, and those of them that have no key."""
    return f"SELECT count(*), coalesce(sum({order.lacks_key}), 0) FROM {order.table.quoted} AS t"


def cut_into_ranges(order: Order, batch_size: int) -> str:
    """Return the statement for the keys that ranges of so many rows begin with, each after the rows before it.

    It takes the key of each row whose number is a multiple, and counts the rows before the first that has an equal
    key: equal keys stay together, and one that spans several multiples comes several times.
    """
    names = ", ".join(f"r.k{number}" for number in range(len(order.columns)))
    return f"""
        SELECT r.rows_before, {names}
        FROM (
            SELECT {order.exported}, rank() OVER w - 1 AS rows_before, row_number() OVER w - 1 AS number
            FROM {order.table.quoted} AS t
            WHERE {order.has_key}
            WINDOW w AS (ORDER BY {", ".join(order.terms)})
        ) AS r
        WHERE r.number % {batch_size:d} = 0
        ORDER BY r.number
    """


def find_last_key(order: Order) -> str:
    """Return the statement for the greatest key."""
    descending = ", ".join(f"{term} DESC" for term in order.terms)
    return f"""
        SELECT {order.exported} FROM {order.table.quoted} AS t WHERE {order.has_key} ORDER BY {descending} LIMIT 1
    """


def read_range(order: Order, first: Sequence[str], end: Sequence[str], *, is_last: bool, limit: int) -> str:
    """Return the statement that reads from one key on and before another; in the last range through another."""
    begins = compared(order.terms, ">=", order.literals(first))
    ends = compared(order.terms, "<=" if is_last else "<", order.literals(end))
    return f"""
        SELECT {_carried(order.table)} FROM {order.table.quoted} AS t
        WHERE {begins} AND {ends} AND {order.has_key}
        ORDER BY {", ".join(order.terms)}
        LIMIT {limit:d}
    """


def read_without_key(order: Order, *, limit: int) -> str:
    """Return the statement that reads the rows that have no key."""
    table = order.table
    return f"SELECT {_carried(table)} FROM {table.quoted} AS t WHERE {order.lacks_key} LIMIT {limit:d}"


def _carried(table: Table) -> str:
    return ", ".join(
        f"{column.carried.template.format(column.term)} AS c{number}" for number, column in enumerate(table.columns)
    )
