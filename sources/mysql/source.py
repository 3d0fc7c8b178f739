"""MySQL tables and views as sources, cut along their key in one snapshot and read by ranges of it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

from sources import key_ranges
from sources.errors import SourceChanged, echoed, refuse_too_many_batches, refuse_unknown_columns
from sources.mysql.catalog import Table, find_table
from sources.mysql.connection import Lent, MysqlConnection
from sources.mysql.order import (
    Order,
    count_rows_and_keyless,
    cut_into_ranges,
    find_last_key,
    order_by,
    read_range,
    read_without_key,
)
from sources.protocol import SourceRow, Survey, max_range_rows
from sources.values import convert_rows


class MysqlSource:
    """One table or view of a connection, which stays open when this is closed.

    A range holds its bounds as keys, so it means the same rows later, whatever is inserted or deleted elsewhere. Rows
    without a key come in a range of their own, at the end.
    """

    def __init__(self, connection: MysqlConnection, table: str) -> None:
        self._connection = connection
        self._name = table
        self._table: Table | None = None

    @property
    def survey_permit(self) -> AbstractAsyncContextManager[object]:
        """A permit of the connection, which gives few."""
        return self._connection.survey_permits

    async def columns(self) -> tuple[str, ...]:
        """Return the names of the columns, in the table's order."""
        async with self._connection.reading() as session:
            return (await self._looked_up(session)).names

    async def count(self) -> int:
        """Return how many rows there are."""
        async with self._connection.snapshot() as session:
            table = await self._looked_up(session)
            ((rows,),) = await session.fetch(f"SELECT count(*) FROM {table.quoted}")
            return int(rows)

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows along the key. Where no index has the key, `detail` says what reading will cost.

        Raises UnknownColumn, KeyMissing where more rows lack a key than a range may hold, KeyUnusable where a type of
        the key has no order or more rows share one key than a range may hold.
        """
        async with self._connection.snapshot() as session:
            self._table = None
            table = await self._looked_up(session)
            refuse_unknown_columns(key, table.names)
            order = order_by(table, key)
            ((rows, keyless),) = (
                [int(value) for value in row] for row in await session.fetch(count_rows_and_keyless(order))
            )
            refuse_too_many_batches(rows, batch_size)
            cuts = await session.fetch(cut_into_ranges(order, batch_size))
            last_key = await session.fetch(find_last_key(order))
        about = {**_about(order), "most": max_range_rows(batch_size)}
        named = key_ranges.named(about["key"])
        starts = {int(rows_before): _texts(start) for rows_before, *start in cuts}
        last = _texts(last_key[0]) if last_key else None
        behind = key_ranges.without_key(keyless, rows=rows, about=about, named=named)
        ranges = key_ranges.between(starts, rows=rows - keyless, last=last, about=about, named=named)
        form_by_name = {column.name: column.carried.key_form for column in table.columns}
        return Survey(
            rows,
            [*ranges, *behind],
            detail=key_ranges.remarks(rows=rows, keyless=keyless, named=named, is_indexed=order.is_indexed),
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
            statement = read_without_key(order, limit=most + 1)
        else:
            is_last, first, end = key_ranges.bounds(source_range)
            statement = read_range(order, first, end, is_last=is_last, limit=most + 1)
        async with self._connection.reading(runs_code=table.runs_code) as session:
            records = await session.fetch(statement)
        if len(records) > most:
            raise SourceChanged(f"A range of {echoed(self._name)} grew beyond {most} rows: start the import again.")
        key = source_range["key"]
        converts = [
            (column.name in key and column.carried.convert_key) or column.carried.convert for column in table.columns
        ]
        return convert_rows(records, names=table.names, converts=converts, positions=count(source_range["first"]))

    async def aclose(self) -> None:
        """Hold nothing open: the connection is its owner's."""

    async def _looked_up(self, session: Lent) -> Table:
        """Return the table as this source knows it, if it may still be read."""
        if self._table is None or self._table.name not in self._connection.tables:
            database = self._connection.url.database
            self._table = await find_table(session, self._name, self._connection.tables, database)
        return self._table

    async def _surveyed_order(self, source_range: Mapping[str, Any]) -> Order:
        """Return the order that a range was cut along, checked against the source: no word of it is trusted."""
        names, types = source_range["key"], source_range["types"]
        if self._table is None or self._table.name not in self._connection.tables:
            async with self._connection.reading() as session:
                await self._looked_up(session)
        assert self._table is not None  # noqa: S101 - it was looked up
        type_by_name = {column.name: column.type for column in self._table.columns}
        if [type_by_name.get(name) for name in names] != types:
            self._table = None
            raise SourceChanged(f"The key of {echoed(self._name)} has other columns than when it was surveyed.")
        return order_by(self._table, names, as_given=True)


def _about(order: Order) -> dict[str, Any]:
    return {
        "key": [column.name for column in order.columns],
        "types": [column.type for column in order.columns],
    }


def _texts(key: Sequence[bytes]) -> list[str]:
    return [value.decode() for value in key]
