"""The order that a PostgreSQL table's rows are cut along, and the statements that read ranges of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sources.sql.catalog import BYTEWISE, Column, Index, Table
from sources.tables.order import BaseOrder


@dataclass(frozen=True, slots=True)
class Order(BaseOrder[Column, Index]):
    """The key's columns, each with the collation of the index that has them.

    Columns are always named through `t`: a bare name in ORDER BY would mean the value as it is selected, which is text.
    """

    collations: tuple[str | None, ...]

    @property
    def terms(self) -> list[str]:
        """The columns as they are compared."""
        return [
            f"t.{column.quoted} COLLATE {collation}" if collation else f"t.{column.quoted}"
            for column, collation in zip(self.columns, self.collations, strict=True)
        ]

    @property
    def has_key(self) -> str:
        """The condition that no part of a row's key is null."""
        return " AND ".join(f"t.{column.quoted} IS NOT NULL" for column in self.columns)

    @property
    def key_as_text(self) -> list[str]:
        """The key's values, each as text that its type reads back as the same value: a cast may be user-defined."""
        return [f"pg_catalog.format('%s', t.{column.quoted})" for column in self.columns]

    @property
    def details(self) -> Mapping[str, Any]:
        """The collations."""
        return {"collations": list(self.collations)}

    def given(self, first_parameter: int) -> str:
        """Return a key that is given as text parameters, from that number on, as a row of the key's types."""
        values = (f"${number}::text::{column.type}" for number, column in enumerate(self.columns, first_parameter))
        return f"({', '.join(values)})"


def order_by(table: Table, key: Sequence[str]) -> Order:
    """Return the order of the first index that begins with the key's columns, in any order.

    Without one it is the key's own order, text byte by byte.
    """
    column_by_name = {column.name: column for column in table.columns}
    for index in table.indexes:
        if set(index.columns[: len(key)]) == set(key):
            names, collations = index.columns[: len(key)], index.collations[: len(key)]
            indexed = tuple(column_by_name[name] for name in names)
            return Order(table, indexed, is_indexed=True, collations=collations)
    columns = tuple(column_by_name[name] for name in key)
    collations = tuple(BYTEWISE if column.is_collated else None for column in columns)
    return Order(table, columns, is_indexed=False, collations=collations)


def read_range(order: Order, *, is_last: bool) -> str:
    """Return the statement that reads from one key on and before another; in the last range through another.

    A row without a whole key may compare as lying between (its first columns decide), but belongs to no such range.
    """
    return f"""
        SELECT {_carried(order.table.columns)} FROM {order.table.quoted} AS t
        WHERE ({order.listed}) >= {order.given(1)}
          AND ({order.listed}) {"<=" if is_last else "<"} {order.given(1 + len(order.columns))}
          AND {order.has_key}
        ORDER BY {order.listed}
        LIMIT ${1 + 2 * len(order.columns)}
    """


def read_without_key(order: Order) -> str:
    """Return the statement that reads the rows that have no key."""
    return f"SELECT {_carried(order.table.columns)} FROM {order.table.quoted} AS t WHERE NOT ({order.has_key}) LIMIT $1"


def _carried(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.expression} AS c{number}" for number, column in enumerate(columns))
