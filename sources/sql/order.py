"""The order that a table's rows are cut along, and the statements that rest on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sources.sql.catalog import BYTEWISE, Column, Table


@dataclass(frozen=True, slots=True)
class Order:
    """The key's columns in the order of the index that has them, each with that index's collation.

    Columns are always named through `t`: a bare name in ORDER BY would mean the value as it is selected, which is text.
    """

    table: Table
    columns: tuple[Column, ...]
    collations: tuple[str | None, ...]
    is_indexed: bool

    @property
    def terms(self) -> list[str]:
        """The columns as they are compared."""
        return [
            f"t.{column.quoted} COLLATE {collation}" if collation else f"t.{column.quoted}"
            for column, collation in zip(self.columns, self.collations, strict=True)
        ]

    @property
    def listed(self) -> str:
        """The terms, in order."""
        return ", ".join(self.terms)

    @property
    def has_key(self) -> str:
        """The condition that no part of a row's key is null."""
        return " AND ".join(f"t.{column.quoted} IS NOT NULL" for column in self.columns)

    @property
    def key_as_text(self) -> str:
        """The key's values, each as text that its type reads back as the same value: a cast may be somebody's own."""
        return ", ".join(f"pg_catalog.format('%s', t.{column.quoted})" for column in self.columns)

    def given(self, first_parameter: int) -> str:
        """Return a key that is given as text parameters, from that number on, as a row of the key's types."""
        values = (f"${number}::text::{column.type}" for number, column in enumerate(self.columns, first_parameter))
        return f"({', '.join(values)})"


def order_by(table: Table, key: Sequence[str]) -> Order:
    """Return the order of the first index that begins with the key's columns, whatever their order in the key.

    Without one it is the key's own order, text byte by byte.
    """
    column_by_name = {column.name: column for column in table.columns}
    for index in table.indexes:
        if set(index.columns[: len(key)]) == set(key):
            names, collations = index.columns[: len(key)], index.collations[: len(key)]
            return Order(table, tuple(column_by_name[name] for name in names), collations, is_indexed=True)
    columns = tuple(column_by_name[name] for name in key)
    collations = tuple(BYTEWISE if column.is_collated else None for column in columns)
    return Order(table, columns, collations, is_indexed=False)


def count_rows_and_keys(order: Order) -> str:
    """Return the statement that counts the rows, and those of them that have a key."""
    return f"SELECT count(*), count(*) FILTER (WHERE {order.has_key}) FROM {order.table.quoted} AS t"


def cut_into_ranges(order: Order) -> str:
    """Return the statement for the keys that ranges of `$1` rows begin with, each after the rows before it.

    It takes the key of each row whose number is a multiple, and counts the rows before the first that has the same
    key: equal keys stay together, and one that spans several multiples comes several times.
    """
    return f"""
        SELECT r.rows_before, r.key
        FROM (
            SELECT
                ARRAY[{order.key_as_text}] AS key,
                rank() OVER w - 1 AS rows_before,
                row_number() OVER w - 1 AS number
            FROM {order.table.quoted} AS t
            WHERE {order.has_key}
            WINDOW w AS (ORDER BY {order.listed})
        ) AS r
        WHERE r.number % $1 = 0
        ORDER BY r.number
    """


def find_last_key(order: Order) -> str:
    """Return the statement for the greatest key."""
    descending = ", ".join(f"{term} DESC" for term in order.terms)
    return f"""
        SELECT ARRAY[{order.key_as_text}] FROM {order.table.quoted} AS t
        WHERE {order.has_key}
        ORDER BY {descending}
        LIMIT 1
    """


def read_range(order: Order, *, is_last: bool) -> str:
    """Return the statement that reads from one key on and before another; in the last range through another.

    A row without a whole key may compare as lying between (its first columns decide), but belongs to no such range.
    """
    return f"""
        SELECT {_carried(order.table)} FROM {order.table.quoted} AS t
        WHERE ({order.listed}) >= {order.given(1)}
          AND ({order.listed}) {"<=" if is_last else "<"} {order.given(1 + len(order.columns))}
          AND {order.has_key}
        ORDER BY {order.listed}
        LIMIT ${1 + 2 * len(order.columns)}
    """


def read_without_key(order: Order) -> str:
    """Return the statement that reads the rows that have no key."""
    return f"SELECT {_carried(order.table)} FROM {order.table.quoted} AS t WHERE NOT ({order.has_key}) LIMIT $1"


def _carried(table: Table) -> str:
    return ", ".join(f"{column.expression} AS c{number}" for number, column in enumerate(table.columns))
