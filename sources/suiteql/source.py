"""Named SuiteQL queries as sources: ranges along the key or by position, each read page by page."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from sources.errors import KeyUnusable, SourceChanged, echoed, refuse_unknown_columns
from sources.key_ranges import bounds
from sources.protocol import SourceRow, Survey
from sources.suiteql.key import KeyOrder, compared
from sources.suiteql.query import NamedQuery
from sources.suiteql.service import PAGE_ROWS, QueryRefused, SuiteqlConnection
from sources.suiteql.survey import survey_along_key, survey_by_position
from sources.values import NotJson, to_json_value


class SuiteqlSource:
    """One named query of a connection, which stays open when this is closed.

    Ranges are cut along the key, by conditions wrapped around the query, so that they mean the same rows later. Where
    the service refuses such conditions, they are positions, up to its cap; rows beyond it make the survey incomplete.
    """

    def __init__(self, connection: SuiteqlConnection, query: str) -> None:
        """Raises SourceNotConfigured if the connection has no such named query."""
        self._query = NamedQuery(connection, query)

    @property
    def survey_permit(self) -> AbstractAsyncContextManager[object]:
        """No limit: the connection interleaves the calls of several surveys."""
        return nullcontext()

    async def columns(self) -> tuple[str, ...]:
        """Return the column names of the first page; the service leaves out null values."""
        return await self._query.columns()

    async def count(self) -> int:
        """Return how many rows the query has, including those beyond the cap."""
        return await self._query.count()

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows along the key, reading every key once; the service has no snapshots, so rows may move meanwhile.

        Falls back to positions if the service can't cut along the key, and says why in `detail`. Raises KeyMissing if
        more rows lack a key than a range may hold.
        """
        rows = await self.count()
        if not rows:
            return Survey(0, [])
        refuse_unknown_columns(key, await self.columns())
        try:
            return await survey_along_key(self._query, KeyOrder(tuple(key)), rows, batch_size)
        except (KeyUnusable, QueryRefused) as error:
            return survey_by_position(self._query, rows, batch_size, why=error.detail)

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range, by one call for each of its pages.

        Raises SourceChanged if another query is configured under this name than was surveyed, or if the range has come
        to hold more rows than a range may.
        """
        if source_range["query"] != self._query.fingerprint:
            raise SourceChanged(
                f"Another query is configured as {echoed(self._query.name)} now: start the import again."
            )
        items = [item async for item in self._items(source_range)]
        return [_row(position, item) for position, item in enumerate(items, source_range["first"])]

    async def aclose(self) -> None:
        """Hold nothing open: the connection is its owner's."""

    async def _items(self, source_range: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if "page" in source_range:
            query, size = self._query.text, source_range["page"]
            first, most = source_range["first"], source_range["rows"]
        else:
            query, size, first, most = self._range_query(source_range), PAGE_ROWS, 0, source_range["most"]
        for offset in range(first, first + most, size):
            page = await self._query.page(query, limit=size, offset=offset)
            for item in page.items[: first + most - offset]:
                yield item
            if not page.has_more:
                return
        if "page" not in source_range:
            name = echoed(self._query.name)
            raise SourceChanged(f"A range of {name} grew beyond {most} rows: start the import again.")

    def _range_query(self, source_range: Mapping[str, Any]) -> str:
        order = KeyOrder(tuple(source_range["key"]))
        if source_range.get("without_key"):
            return self._query.wrapped("*", f"WHERE NOT ({order.has_key})")
        is_last, first_key, last_key = bounds(source_range)
        numeric = source_range["numeric"]
        begin = compared(order.columns, ">=", first_key, numeric)
        end = compared(order.columns, "<=" if is_last else "<", last_key, numeric)
        return self._query.wrapped("*", f"WHERE {order.has_key} AND {begin} AND {end} ORDER BY {order.listed}")


def _row(position: int, item: dict[str, Any]) -> SourceRow:
    """Return a row of the service, whose values are JSON already; a value that the database can't hold is a defect."""
    payload: dict[str, Any] = {}
    defect: str | None = None
    for name, value in item.items():
        try:
            payload[name] = to_json_value(value)
        except NotJson as error:
            defect = defect or f"{name} {error}"
    return SourceRow(position, payload, defect)
