"""Opening tables: alike for all types of sources that are tables of a database."""

from typing import Any, ClassVar

from domain.sources.tables import TableSource as TableSpec
from sources.opening import ReachedConnection
from sources.tables.connection import TableConnection
from sources.tables.source import TableSource


class TableOpener:
    """Opens tables of one connection, whose sessions they share."""

    connects_by: ClassVar[type[TableConnection[Any]]]
    opens: ClassVar[type[TableSource[Any, Any, Any]]]

    def __init__(self, reached: ReachedConnection) -> None:
        tables = reached.settings.listed_tables
        self._connection = self.connects_by(reached.url, name=reached.name, tables=tables)

    def open(self, source: TableSpec) -> TableSource[Any, Any, Any]:
        """Return a table to read."""
        return self.opens(self._connection, source.table)

    def follow(self, reached: ReachedConnection) -> None:
        """Apply the list of readable tables at once."""
        self._connection.tables = reached.settings.listed_tables

    async def aclose(self) -> None:
        """End the sessions."""
        await self._connection.aclose()
