"""The order that a MySQL table's rows are cut along, and the statements that read ranges of it.

Text is compared by the collation of its column, as in its index. Equal texts lie in one range.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sources.errors import KeyUnusable, SourceChanged, echoed
from sources.key_ranges import compared
from sources.mysql.catalog import Column, Index, Table
from sources.mysql.types import Part
from sources.tables.order import BaseOrder


@dataclass(frozen=True, slots=True)
class Order(BaseOrder[Column, Index]):
    """The key's columns, each with how it stands in conditions."""

    parts: tuple[Part, ...]

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
    def key_as_text(self) -> list[str]:
        """The key's values, each as text that `literals` takes."""
        return [part.export.format(column.term) for column, part in zip(self.columns, self.parts, strict=True)]

    def literals(self, key: Sequence[str]) -> list[str]:
        """Return a key's literals for a condition; raises SourceChanged for values that its types never give."""
        if len(key) != len(self.parts):
            raise SourceChanged("The range has another key than its columns: start the import again.")
        for value, part in zip(key, self.parts, strict=True):
            if not re.fullmatch(part.pattern, value):
                raise SourceChanged("The range begins or ends with no value of its column: start the import again.")
        return [part.literal.format(value) for value, part in zip(key, self.parts, strict=True)]


def order_by(table: Table, key: Sequence[str], *, as_given: bool = False) -> Order:
    """Return the order of the first index that begins with the key's columns, in any order.

    Without one, or `as_given`, it is the key's own order. Raises KeyUnusable for a column that has none.
    """
    column_by_name = {column.name: column for column in table.columns}
    indexed = next((index[: len(key)] for index in table.indexes if set(index[: len(key)]) == set(key)), None)
    columns = tuple(column_by_name[name] for name in (key if as_given or indexed is None else indexed))
    parts = []
    for column in columns:
        if column.part is None:
            kind = echoed(column.type)
            raise KeyUnusable(
                f"{echoed(column.name)} is of type {kind}, along which nothing is cut: choose another key."
            )
        parts.append(column.part)
    return Order(table, columns, is_indexed=indexed is not None, parts=tuple(parts))


def read_range(order: Order, first: Sequence[str], end: Sequence[str], *, is_last: bool, limit: int) -> str:
    """Return the statement that reads from one key on and before another; in the last range through another."""
    begins = compared(order.terms, ">=", order.literals(first))
    ends = compared(order.terms, "<=" if is_last else "<", order.literals(end))
    return f"""
        SELECT {_carried(order.table.columns)} FROM {order.table.quoted} AS t
        WHERE {begins} AND {ends} AND {order.has_key}
        ORDER BY {order.listed}
        LIMIT {limit:d}
    """


def read_without_key(order: Order, *, limit: int) -> str:
    """Return the statement that reads the rows that have no key."""
    table = order.table
    return f"SELECT {_carried(table.columns)} FROM {table.quoted} AS t WHERE {order.lacks_key} LIMIT {limit:d}"


def _carried(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.template.format(column.term)} AS c{number}" for number, column in enumerate(columns))
