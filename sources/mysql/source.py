"""MySQL tables and views as sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from sources import key_ranges
from sources.mysql.catalog import Table, find_table
from sources.mysql.connection import Lent, MysqlConnection
from sources.mysql.order import Order, order_by, read_range, read_without_key
from sources.tables.source import TableSource


class MysqlSource(TableSource[Lent, Table, Order]):
    """One table or view of a MySQL or MariaDB server."""

    _connection: MysqlConnection

    async def _find(self, session: Lent) -> Table:
        return await find_table(session, self._name, self._connection.tables, self._connection.database)

    async def _survey(self, session: Lent, statement: str) -> Sequence[Sequence[Any]]:
        return [[value.decode() for value in row] for row in await session.fetch(statement)]

    def _order_by(self, table: Table, key: Sequence[str]) -> Order:
        return order_by(table, key)

    async def _order_again(self, _session: Lent, table: Table, source_range: Mapping[str, Any]) -> Order:
        return order_by(table, source_range["key"], as_given=True)

    async def _fetch(self, order: Order, source_range: Mapping[str, Any], *, limit: int) -> Sequence[Any]:
        if source_range.get("without_key"):
            statement = read_without_key(order, limit=limit)
        else:
            is_last, first, end = key_ranges.bounds(source_range)
            statement = read_range(order, first, end, is_last=is_last, limit=limit)
        async with self._connection.reading(runs_code=order.table.runs_code) as session:
            return await session.fetch(statement)
