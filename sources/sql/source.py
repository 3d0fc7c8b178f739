"""PostgreSQL tables and views as sources, cut along their key in one snapshot and read by ranges of it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

from sources.errors import (
    KeyMissing,
    KeyUnusable,
    SourceChanged,
    echoed,
    refuse_too_many_batches,
    refuse_unknown_columns,
)
from sources.protocol import SourceRange, SourceRow, Survey, most_rows
from sources.sql.catalog import Table, existing_collations, find_table
from sources.sql.order import (
    Order,
    count_rows_and_keys,
    cut_into_ranges,
    find_last_key,
    order_by,
    read_range,
    read_without_key,
)
from sources.sql.session import Connection, SqlConnection
from sources.values import convert_rows


class SqlSource:
    """One table or view of a connection, which stays open when this is closed.

    A range holds its bounds as keys, so it means the same rows later, whatever is inserted or deleted elsewhere. Rows
    without a key come in a range of their own, at the end.
    """

    def __init__(self, connection: SqlConnection, table: str) -> None:
        self._connection = connection
        self._name = table
        self._table: Table | None = None
        self._order_by_survey: dict[str, Order] = {}

    @property
    def survey_turn(self) -> AbstractAsyncContextManager[object]:
        """One of the connection's few."""
        return self._connection.survey_turn

    async def columns(self) -> tuple[str, ...]:
        """Return the names of the columns, in the table's order."""
        async with self._connection.reading() as connection:
            return (await self._looked_up(connection)).names

    async def count(self) -> int:
        """Return how many rows there are."""
        async with self._connection.snapshot() as connection:
            table = await self._looked_up(connection)
            statement = f"SELECT count(*) FROM {table.quoted}"
            counted: int = await connection.fetchval(statement, timeout=self._connection.survey_seconds)
            return counted

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows along the key. Where no index has the key, `detail` says what reading will cost.

        Raises UnknownColumn, KeyMissing where more rows lack a key than a range may hold, KeyUnusable where a type of
        the key has no order or more rows share one key than a range may hold.
        """
        limit = self._connection.survey_seconds
        async with self._connection.snapshot() as connection:
            self._table = None
            table = await self._looked_up(connection)
            refuse_unknown_columns(key, table.names)
            order = order_by(table, key)
            counted = await connection.fetchrow(count_rows_and_keys(order), timeout=limit)
            rows, keys = counted or (0, 0)
            refuse_too_many_batches(rows, batch_size)
            cuts = await connection.fetch(cut_into_ranges(order), batch_size, timeout=limit)
            last_key = await connection.fetchval(find_last_key(order), timeout=limit)
        most = most_rows(batch_size)
        if rows - keys > most:
            raise KeyMissing(f"{rows - keys} of {rows} rows have no value in {_named(order)}: choose another key.")
        bounds = {row["rows_before"]: row["key"] for row in cuts}
        ranges = _ranges(order, bounds, rows=keys, last_key=last_key, most=most)
        if rows > keys:
            ranges.append(SourceRange({**_about(order), "first": keys, "most": most, "without_key": True}, rows - keys))
        form_by_name = {column.name: column.key_form for column in table.columns}
        return Survey(
            rows,
            ranges,
            detail=_remarks(order, rows=rows, keyless=rows - keys),
            key_forms=[form_by_name[name] for name in key],
        )

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range in the key's order, scanning that part of the index where there is one.

        Raises SourceChanged if the key's columns have other types than when they were surveyed, or if the range has
        come to hold more rows than a range may.
        """
        order = await self._surveyed_order(source_range)
        table, most = order.table, source_range["most"]
        if source_range.get("without_key"):
            statement, bounds = read_without_key(order), []
        else:
            is_last = "through" in source_range
            statement = read_range(order, is_last=is_last)
            bounds = [*source_range["from"], *source_range["through" if is_last else "before"]]
        records = await self._connection.fetch(statement, *bounds, most + 1, runs_code=table.runs_code)
        if len(records) > most:
            raise SourceChanged(f"A range of {echoed(self._name)} grew beyond {most} rows: start the import again.")
        key = source_range["key"]
        converts = [column.convert_key if column.name in key else column.convert for column in table.columns]
        return convert_rows(records, names=table.names, converts=converts, positions=count(source_range["first"]))

    async def aclose(self) -> None:
        """Hold nothing open: the connection is its owner's."""

    async def _looked_up(self, connection: Connection) -> Table:
        """Return the table as this source knows it, if it may still be read."""
        if not self._may_read_known:
            self._table = await find_table(connection, self._name, self._connection.tables)
        assert self._table is not None  # noqa: S101 - it was looked up
        return self._table

    @property
    def _may_read_known(self) -> bool:
        return self._table is not None and self._table.name in self._connection.tables

    async def _surveyed_order(self, source_range: Mapping[str, Any]) -> Order:
        """Return the order that a range was cut along, checked against the source: no word of it is trusted."""
        names, types, collations = source_range["key"], source_range["types"], source_range["collations"]
        survey = repr((names, types, collations))
        if survey in self._order_by_survey and self._may_read_known:
            return self._order_by_survey[survey]
        async with self._connection.reading() as connection:
            table = await self._looked_up(connection)
            known = await existing_collations(connection, collations)
        type_by_name = {column.name: column.type for column in table.columns}
        if [type_by_name.get(name) for name in names] != types or not known.issuperset(filter(None, collations)):
            self._table = None
            raise SourceChanged(f"The key of {echoed(self._name)} has other columns than when it was surveyed.")
        order = order_by(replace(table, indexes=()), names)
        self._order_by_survey[survey] = replace(order, collations=tuple(collations))
        return self._order_by_survey[survey]


def _about(order: Order) -> dict[str, Any]:
    return {
        "key": [column.name for column in order.columns],
        "types": [column.type for column in order.columns],
        "collations": list(order.collations),
    }


def _ranges(
    order: Order, bounds: Mapping[int, list[str]], *, rows: int, last_key: list[str] | None, most: int
) -> list[SourceRange]:
    """Return the ranges between the keys that stand after so many rows; the last goes through the greatest key.

    So rows that are added behind the greatest key after the survey are no part of it.
    """
    ranges = []
    for (first, key), (next_first, next_key) in pairwise([*bounds.items(), (rows, last_key)]):
        end = {"through": last_key} if next_first == rows else {"before": next_key}
        if next_first - first > most:
            raise KeyUnusable(f"Too many rows share one value of {_named(order)}, up to {next_first - first}.")
        range_ = {**_about(order), "first": first, "most": most, "from": key, **end}
        ranges.append(SourceRange(range_, next_first - first))
    return ranges


def _remarks(order: Order, *, rows: int, keyless: int) -> str | None:
    remarks = []
    if rows and not order.is_indexed:
        remarks.append(f"No index begins with {_named(order)}, so each batch may read the whole table: create one.")
    if keyless:
        remarks.append(f"{keyless} of {rows} rows have no value in {_named(order)}.")
    return " ".join(remarks) or None


def _named(order: Order) -> str:
    return "(" + ", ".join(echoed(column.name) for column in order.columns) + ")"
