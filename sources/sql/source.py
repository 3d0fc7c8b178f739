"""PostgreSQL tables and views as sources, cut along their key in one snapshot and read by ranges of it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import count
from typing import Any

from sources import key_ranges
from sources.errors import SourceChanged, echoed, refuse_too_many_batches, refuse_unknown_columns
from sources.protocol import SourceRow, Survey, max_range_rows
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
    def survey_permit(self) -> AbstractAsyncContextManager[object]:
        """A permit of the connection, which gives few."""
        return self._connection.survey_permits

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
        about, named = {**_about(order), "most": max_range_rows(batch_size)}, _named(order)
        starts = {row["rows_before"]: row["key"] for row in cuts}
        keyless = key_ranges.without_key(rows - keys, rows=rows, about=about, named=named)
        ranges = key_ranges.between(starts, rows=keys, last=last_key, about=about, named=named)
        form_by_name = {column.name: column.key_form for column in table.columns}
        return Survey(
            rows,
            [*ranges, *keyless],
            detail=key_ranges.remarks(rows=rows, keyless=rows - keys, named=named, is_indexed=order.is_indexed),
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
            is_last, first_key, end = key_ranges.bounds(source_range)
            statement, bounds = read_range(order, is_last=is_last), [*first_key, *end]
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


def _named(order: Order) -> str:
    return key_ranges.named(column.name for column in order.columns)
