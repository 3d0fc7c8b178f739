"""Opening PostgreSQL tables."""

from domain.sources.sql import SqlSource as SqlSpec
from sources.opening import ReachedConnection
from sources.sql.session import SqlConnection
from sources.sql.source import SqlSource


class Opener:
    """Opens tables of one connection, whose sessions they share."""

    def __init__(self, reached: ReachedConnection) -> None:
        self._connection = SqlConnection(reached.url, name=reached.name, tables=reached.settings.listed_tables)

    def open(self, source: SqlSpec) -> SqlSource:
        """Return a table to read."""
        return SqlSource(self._connection, source.table)

    def follow(self, reached: ReachedConnection) -> None:
        """What may be read applies at once."""
        self._connection.tables = reached.settings.listed_tables

    async def aclose(self) -> None:
        """End the sessions."""
        await self._connection.aclose()
