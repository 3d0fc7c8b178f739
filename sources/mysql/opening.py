"""Opening MySQL tables."""

from domain.sources.mysql import MysqlSource as MysqlSpec
from sources.mysql.connection import MysqlConnection
from sources.mysql.source import MysqlSource
from sources.opening import ReachedConnection


class Opener:
    """Opens tables of one connection, whose sessions they share."""

    def __init__(self, reached: ReachedConnection) -> None:
        self._connection = MysqlConnection(reached.url, name=reached.name, tables=reached.settings.listed_tables)

    def open(self, source: MysqlSpec) -> MysqlSource:
        """Return a table to read."""
        return MysqlSource(self._connection, source.table)

    def follow(self, reached: ReachedConnection) -> None:
        """What may be read applies at once."""
        self._connection.tables = reached.settings.listed_tables

    async def aclose(self) -> None:
        """End the sessions."""
        await self._connection.aclose()
