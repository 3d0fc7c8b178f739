"""Named SuiteQL queries as sources: cut along their key, or by position up to the service's cap and no further."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from sources.errors import (
    KeyMissing,
    KeyUnusable,
    SourceChanged,
    SourceNotConfigured,
    Unreadable,
    echoed,
    refuse_too_many_batches,
    refuse_unknown_columns,
)
from sources.key_ranges import bounds
from sources.protocol import SourceRange, SourceRow, Survey, most_rows
from sources.suiteql.cuts import Cuts
from sources.suiteql.key import KeyOrder, Values, compared
from sources.suiteql.service import OFFSET_CAP_ROWS, PAGE_ROWS, Page, QueryRefused, SuiteqlConnection
from sources.values import NotJson, to_json_value


class SuiteqlSource:
    """One named query of a connection, which stays open when this is closed.

    Ranges are cut along the key, by conditions wrapped around the query, so that they mean the same rows later. Where
    the service won't have that, they are positions, up to its cap; what lies behind makes the survey incomplete.
    """

    def __init__(self, connection: SuiteqlConnection, query: str) -> None:
        """Raises SourceNotConfigured if the connection has no such named query."""
        if query not in connection.queries:
            known = ", ".join(map(echoed, sorted(connection.queries))) or "none"
            raise SourceNotConfigured(f"The connection has no query {echoed(query)}: it has {known}.")
        self._connection = connection
        self._query = connection.queries[query].strip().rstrip(";")
        self._name = query
        self._columns: tuple[str, ...] | None = None

    @property
    def survey_turn(self) -> AbstractAsyncContextManager[object]:
        """Nobody is waited for: calls of all are made by turns."""
        return nullcontext()

    async def columns(self) -> tuple[str, ...]:
        """Return the names that the first page shows: the service leaves out what is null."""
        if self._columns is None:
            page = await self._connection.page(self._query)
            self._columns = tuple(dict.fromkeys(name for item in page.items for name in item))
        return self._columns

    async def count(self) -> int:
        """Return how many rows the query has, however many of them can be reached."""
        return await self._counted(self._query)

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows along the key, reading every key once; the service has no snapshots, so rows may move meanwhile.

        Falls back to positions where the key can't be used so, and says why in `detail`. Raises KeyMissing where more
        rows lack a key than a range may hold.
        """
        rows = await self.count()
        if not rows:
            return Survey(0, [])
        refuse_unknown_columns(key, await self.columns())
        try:
            return await self._along_the_key(KeyOrder(tuple(key)), rows, batch_size)
        except (KeyUnusable, QueryRefused) as error:
            return _by_position(self._fingerprint, rows, batch_size, why=error.detail)

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range, by as many calls as it has pages.

        Raises SourceChanged if another query is configured under this name than was surveyed, or if the range has come
        to hold more rows than a range may.
        """
        if source_range["query"] != self._fingerprint:
            raise SourceChanged(f"Another query is configured as {echoed(self._name)} now: start the import again.")
        items = [item async for item in self._items(source_range)]
        return [_row(position, item) for position, item in enumerate(items, source_range["first"])]

    async def aclose(self) -> None:
        """Hold nothing open: the connection is its owner's."""

    @property
    def _fingerprint(self) -> str:
        return hashlib.sha256(self._query.encode()).hexdigest()[:16]

    def _wrapped(self, selected: str, rest: str = "") -> str:
        # On lines of its own, so that a comment at the query's end doesn't swallow the bracket.
        return f"SELECT {selected} FROM (\n{self._query}\n) {rest}".rstrip()

    async def _counted(self, query: str) -> int:
        """Count what a query has; by its own total where it can't be wrapped, which a service may cap."""
        try:
            page = await self._connection.page(f"SELECT COUNT(*) AS row_count FROM (\n{query}\n)", limit=1)
            return int(page.items[0]["row_count"])
        except QueryRefused:
            return (await self._connection.page(query, limit=1)).total
        except (LookupError, TypeError, ValueError):
            raise Unreadable("The SuiteQL service's answer to a COUNT holds no number.") from None

    async def _along_the_key(self, order: KeyOrder, rows: int, batch_size: int) -> Survey:
        keyless = await self._counted(self._wrapped("*", f"WHERE NOT ({order.has_key})"))
        most = most_rows(batch_size)
        if keyless > most:
            raise KeyMissing(f"{keyless} of {rows} rows have no value in the key ({order.listed}): choose another key.")
        refuse_too_many_batches(rows, batch_size)
        cuts = Cuts(batch_size)
        async for key in self._keys(order):
            order.follow(key)
            cuts.take(key)
        about = {"query": self._fingerprint, "key": list(order.columns), "numeric": list(order.numeric), "most": most}
        ranges = cuts.ranges(about)
        if keyless:
            ranges.append(SourceRange({**about, "first": cuts.rows, "without_key": True}, keyless))
        return _checked(ranges, cuts.rows + keyless, keyless=keyless, counted=(rows, await self.count()))

    async def _keys(self, order: KeyOrder) -> AsyncIterator[Values]:
        """Yield every key in the service's order, equal ones as often as they come.

        Offsets reach only so far, so behind the cap the next window begins with the last key of the one before, whose
        rows are then counted there.
        """
        condition = order.has_key
        left: int | None = None
        while True:
            query = self._wrapped(order.listed, f"WHERE {condition} ORDER BY {order.listed}")
            first = await self._connection.page(query)
            if left is not None and first.total >= left:
                raise KeyUnusable("The service doesn't keep to a condition on the key.")
            keys = [order.key_of(item) for page in await _window(self._connection, query, first) for item in page.items]
            is_last = first.total <= OFFSET_CAP_ROWS
            whole = keys if is_last else [key for key in keys if key != keys[-1]]
            for key in whole:
                yield key
            if is_last:
                return
            if not whole:
                raise KeyUnusable(f"More rows share one value of the key ({order.listed}) than the service can page.")
            left = first.total
            condition = f"{order.has_key} AND {compared(order.columns, '>=', keys[-1], order.numeric)}"

    async def _items(self, source_range: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if "page" in source_range:
            query, size, first, most = self._query, source_range["page"], source_range["first"], source_range["rows"]
        else:
            query, size, first, most = self._range_query(source_range), PAGE_ROWS, 0, source_range["most"]
        for offset in range(first, first + most, size):
            page = await self._connection.page(query, limit=size, offset=offset)
            for item in page.items[: first + most - offset]:
                yield item
            if not page.has_more:
                return
        if "page" not in source_range:
            raise SourceChanged(f"A range of {echoed(self._name)} grew beyond {most} rows: start the import again.")

    def _range_query(self, source_range: Mapping[str, Any]) -> str:
        order = KeyOrder(tuple(source_range["key"]))
        if source_range.get("without_key"):
            return self._wrapped("*", f"WHERE NOT ({order.has_key})")
        is_last, first_key, last_key = bounds(source_range)
        numeric = source_range["numeric"]
        begin = compared(order.columns, ">=", first_key, numeric)
        end = compared(order.columns, "<=" if is_last else "<", last_key, numeric)
        return self._wrapped("*", f"WHERE {order.has_key} AND {begin} AND {end} ORDER BY {order.listed}")


async def _window(connection: SuiteqlConnection, query: str, first: Page) -> list[Page]:
    """Return all pages of a query up to the cap, in order, several at a time."""
    offsets = range(PAGE_ROWS, min(first.total, OFFSET_CAP_ROWS), PAGE_ROWS)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(connection.page(query, offset=offset)) for offset in offsets]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [first, *(task.result() for task in tasks)]


def _by_position(fingerprint: str, rows: int, batch_size: int, *, why: str) -> Survey:
    page = min(batch_size, PAGE_ROWS)
    step = page * (batch_size // page)
    reachable = min(rows, OFFSET_CAP_ROWS)
    ranges = [
        SourceRange(
            {"query": fingerprint, "first": first, "page": page, "rows": min(step, reachable - first)},
            min(step, reachable - first),
        )
        for first in range(0, reachable, step)
    ]
    detail = f"Read by position, so rows that move meanwhile may be missed: {why}"
    if reachable < rows:
        detail = (
            f"{reachable} of {rows} rows can be read: the service gives no more by position, and paging by the key "
            f"isn't possible: {why}"
        )
    return Survey(rows, ranges, is_complete=reachable == rows, detail=detail)


def _checked(ranges: list[SourceRange], found: int, *, keyless: int, counted: tuple[int, int]) -> Survey:
    """Return the survey, incomplete if fewer rows were found along the key than were counted before and after."""
    if found < min(counted):
        detail = f"{found} of {min(counted)} rows were found along the key: the service doesn't page it reliably."
        return Survey(min(counted), ranges, is_complete=False, detail=detail)
    remark = f"{keyless} of {found} rows have no value in the key." if keyless else None
    return Survey(found, ranges, detail=remark)


def _row(position: int, item: dict[str, Any]) -> SourceRow:
    """Return a row of the service. Its values are JSON already; what the database can't hold is a defect."""
    payload: dict[str, Any] = {}
    defect: str | None = None
    for name, value in item.items():
        try:
            payload[name] = to_json_value(value)
        except NotJson as error:
            defect = defect or f"{name} {error}"
    return SourceRow(position, payload, defect)
