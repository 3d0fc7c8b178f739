"""Tables and views as sources, cut along their key in one snapshot and read by ranges of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, Generic, TypeVar

from sources import key_ranges
from sources.errors import SourceChanged, echoed, refuse_too_many_batches, refuse_unknown_columns
from sources.protocol import SourceRow, Survey, max_range_rows
from sources.tables.connection import SessionT, TableConnection
from sources.tables.order import BaseTable, Order, count_rows, count_rows_and_keys, cut_into_ranges, find_last_key
from sources.values import convert_rows

TableT = TypeVar("TableT", bound=BaseTable[Any, Any])
OrderT = TypeVar("OrderT", bound=Order)


class TableSource(ABC, Generic[SessionT, TableT, OrderT]):
    """One table or view of a connection, which stays open when this is closed.

    A range holds its bounds as keys, so it means the same rows later, despite inserts and deletes elsewhere. Rows
    without a key come in a range of their own, at the end.
    """

    def __init__(self, connection: TableConnection[SessionT], table: str) -> None:
        self._connection = connection
        self._name = table
        self._table: TableT | None = None
        self._order_by_survey: dict[str, OrderT] = {}

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
            ((rows,),) = await self._survey(session, count_rows(await self._looked_up(session)))
            return int(rows)

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows along the key. If no index has the key, `detail` explains the cost of reading.

        Raises UnknownColumn, KeyMissing where more rows lack a key than a range may hold, KeyUnusable where a type of
        the key has no order or more rows share one key than a range may hold.
        """
        async with self._connection.snapshot() as session:
            self._forget()
            table = await self._looked_up(session)
            refuse_unknown_columns(key, table.names)
            order = self._order_by(table, key)
            (counts,) = await self._survey(session, count_rows_and_keys(order))
            rows, keys = map(int, counts)
            refuse_too_many_batches(rows, batch_size)
            cuts = await self._survey(session, cut_into_ranges(order, batch_size))
            last_keys = await self._survey(session, find_last_key(order))
        about = {**order.members, "most": max_range_rows(batch_size)}
        named, starts = key_ranges.key_in_words(about["key"]), {int(rows_before): start for rows_before, *start in cuts}
        keyless = key_ranges.without_key(rows - keys, rows=rows, about=about, named=named)
        ranges = key_ranges.between(starts, rows=keys, last=next(iter(last_keys), None), about=about, named=named)
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
        key, most = source_range["key"], source_range["most"]
        records = await self._fetch(order, source_range, limit=most + 1)
        if len(records) > most:
            raise SourceChanged(f"A range of {echoed(self._name)} grew beyond {most} rows: start the import again.")
        table = order.table
        converts = [column.convert_key if column.name in key else column.convert for column in table.columns]
        return convert_rows(records, names=table.names, converts=converts, positions=count(source_range["first"]))

    async def aclose(self) -> None:
        """Hold nothing open: the connection is its owner's."""

    @abstractmethod
    async def _find(self, session: SessionT) -> TableT:
        """Look the table up, if the connection may read it."""

    @abstractmethod
    async def _survey(self, session: SessionT, statement: str) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement of a survey: numbers, or texts that hold them, and keys as texts."""

    @abstractmethod
    def _order_by(self, table: TableT, key: Sequence[str]) -> OrderT:
        """Return the order of the first index that begins with the key's columns, in any order."""

    @abstractmethod
    async def _order_again(self, session: SessionT, table: TableT, source_range: Mapping[str, Any]) -> OrderT | None:
        """Return the order along which a range was cut, independent of current indexes; None if it is no order here.

        Its columns are there, with the types that they had.
        """

    @abstractmethod
    async def _fetch(self, order: OrderT, source_range: Mapping[str, Any], *, limit: int) -> Sequence[Any]:
        """Return the rows of a range, each with its values in the order of the table's columns."""

    @property
    def _may_read_known(self) -> bool:
        return self._table is not None and self._table.name in self._connection.tables

    async def _looked_up(self, session: SessionT) -> TableT:
        """Return the table as this source knows it, if it may still be read."""
        if not self._may_read_known:
            self._table = await self._find(session)
        assert self._table is not None  # noqa: S101 - it was looked up
        return self._table

    def _forget(self) -> None:
        self._table = None
        self._order_by_survey.clear()

    async def _surveyed_order(self, source_range: Mapping[str, Any]) -> OrderT:
        """Return the order that a range was cut along, checked against the source: no word of it is trusted."""
        names, types = source_range["key"], source_range["types"]
        survey = repr((names, types, source_range.get("collations")))
        if survey in self._order_by_survey and self._may_read_known:
            return self._order_by_survey[survey]
        async with self._connection.reading() as session:
            table = await self._looked_up(session)
            type_by_name = {column.name: column.type for column in table.columns}
            is_same = [type_by_name.get(name) for name in names] == types
            order = await self._order_again(session, table, source_range) if is_same else None
        if order is None:
            self._forget()
            raise SourceChanged(f"The key of {echoed(self._name)} has other columns than when it was surveyed.")
        if self._table is table:  # a survey may have looked it up anew meanwhile
            self._order_by_survey[survey] = order
        return order
