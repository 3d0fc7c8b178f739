"""A named query of a SuiteQL connection: wrapping it, counting, paging, and reading its keys in order."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from sources.errors import KeyUnusable, SourceNotConfigured, Unreadable, echoed
from sources.suiteql.key import KeyOrder, Values, compared
from sources.suiteql.service import OFFSET_CAP_ROWS, PAGE_ROWS, Page, QueryRefused, SuiteqlConnection


class NamedQuery:
    """The query that a connection has configured under a name. Conditions are wrapped around its unchanged text."""

    def __init__(self, connection: SuiteqlConnection, name: str) -> None:
        """Raises SourceNotConfigured if the connection has no such named query."""
        if name not in connection.queries:
            known = ", ".join(map(echoed, sorted(connection.queries))) or "none"
            raise SourceNotConfigured(f"The connection has no query {echoed(name)}: it has {known}.")
        self.name = name
        self.text = connection.queries[name].strip().rstrip(";")
        self._connection = connection
        self._columns: tuple[str, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the query's text, stored in every range: another text under the name has other rows."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def wrapped(self, selected: str, rest: str) -> str:
        """Return a SELECT of some columns from the query; `rest` adds conditions and order."""
        # On lines of its own, so that a comment at the query's end doesn't swallow the bracket.
        return f"SELECT {selected} FROM (\n{self.text}\n) {rest}"

    async def columns(self) -> tuple[str, ...]:
        """Return the column names of the first page; the service leaves out null values."""
        if self._columns is None:
            page = await self._connection.page(self.text)
            self._columns = tuple(dict.fromkeys(name for item in page.items for name in item))
        return self._columns

    async def count(self) -> int:
        """Return how many rows the query has, including those beyond the cap."""
        return await self._counted(self.text)

    async def count_without_key(self, order: KeyOrder) -> int:
        """Return how many rows have no value in some column of the key."""
        return await self._counted(self.wrapped("*", f"WHERE NOT ({order.has_key})"))

    async def page(self, query: str, *, limit: int, offset: int) -> Page:
        """Return a page of the query's own text or of a `wrapped` query, as the connection does."""
        return await self._connection.page(query, limit=limit, offset=offset)

    async def keys(self, order: KeyOrder) -> AsyncIterator[Values]:
        """Yield every key in the service's order; equal keys are repeated.

        Offsets reach only so far, so behind the cap the next window begins with the last key of the window before,
        whose rows are then counted there. Raises KeyUnusable if the service ignores the condition on the key.
        """
        condition = order.has_key
        remaining_rows: int | None = None
        while True:
            query = self.wrapped(order.listed, f"WHERE {condition} ORDER BY {order.listed}")
            first = await self._connection.page(query)
            if remaining_rows is not None and first.total >= remaining_rows:
                raise KeyUnusable("The service doesn't keep to a condition on the key.")
            keys = [order.key_of(item) for page in await self._window(query, first) for item in page.items]
            is_last = first.total <= OFFSET_CAP_ROWS
            whole = keys if is_last else [key for key in keys if key != keys[-1]]
            for key in whole:
                yield key
            if is_last:
                return
            if not whole:
                raise KeyUnusable(f"More rows share one value of the key ({order.listed}) than the service can page.")
            remaining_rows = first.total
            condition = f"{order.has_key} AND {compared(order.columns, '>=', keys[-1], order.numeric)}"

    async def _counted(self, query: str) -> int:
        """Count a query's rows; if it can't be wrapped, take the page's total, which a service may cap."""
        try:
            page = await self._connection.page(f"SELECT COUNT(*) AS row_count FROM (\n{query}\n)", limit=1)
            return int(page.items[0]["row_count"])
        except QueryRefused:
            return (await self._connection.page(query, limit=1)).total
        except (LookupError, TypeError, ValueError):
            raise Unreadable("The SuiteQL service's answer to a COUNT holds no number.") from None

    async def _window(self, query: str, first: Page) -> list[Page]:
        """Return all pages of a query up to the cap, in order, several at a time."""
        offsets = range(PAGE_ROWS, min(first.total, OFFSET_CAP_ROWS), PAGE_ROWS)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._connection.page(query, offset=offset)) for offset in offsets]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [first, *(task.result() for task in tasks)]
