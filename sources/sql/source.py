"""PostgreSQL tables and views as sources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sources import key_ranges
from sources.sql.catalog import Table, existing_collations, find_table
from sources.sql.order import Order, order_by, read_range, read_without_key
from sources.sql.session import Connection, SqlConnection
from sources.tables.source import TableSource


class SqlSource(TableSource[Connection, Table, Order]):
    """One table or view of a PostgreSQL database."""

    _connection: SqlConnection

    async def _find(self, session: Connection) -> Table:
        return await find_table(session, self._name, self._connection.tables)

    async def _survey(self, session: Connection, statement: str) -> Sequence[Sequence[Any]]:
        return [tuple(row) for row in await session.fetch(statement, timeout=self._connection.survey_seconds)]

    def _order_by(self, table: Table, key: Sequence[str]) -> Order:
        return order_by(table, key)

    async def _order_again(self, session: Connection, table: Table, source_range: Mapping[str, Any]) -> Order | None:
        """Return an order by the collations of then, whose names may stand in a statement if they are found here."""
        collations = source_range["collations"]
        known = await existing_collations(session, collations)
        if not known.issuperset(filter(None, collations)):
            return None
        order = order_by(replace(table, indexes=()), source_range["key"])
        return replace(order, collations=tuple(collations))

    async def _fetch(self, order: Order, source_range: Mapping[str, Any], *, limit: int) -> Sequence[Any]:
        if source_range.get("without_key"):
            statement, bounds = read_without_key(order), []
        else:
            is_last, first, end = key_ranges.bounds(source_range)
            statement, bounds = read_range(order, is_last=is_last), [*first, *end]
        return await self._connection.fetch(statement, *bounds, limit, runs_code=order.table.runs_code)
