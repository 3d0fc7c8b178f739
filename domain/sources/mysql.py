"""MySQL and MariaDB: the source of a spec, and the settings of a connection."""

from dataclasses import dataclass
from typing import ClassVar

from domain.mysql_url import WrongMysqlUrl, parse_mysql_url
from domain.sources.connection import ConnectionSettings, DatabaseSettings
from domain.sources.tables import TableSource


class MysqlSettings(DatabaseSettings):
    """A connection to a MySQL or MariaDB server; its tables are listed as `database.table`."""

    type_name: ClassVar[str] = "mysql"

    def fault(self, url: str) -> str | None:
        """Return why a text isn't the URL of such a server."""
        try:
            parse_mysql_url(url)
        except WrongMysqlUrl as error:
            return f"can't be used: {error}"
        return None


@dataclass(frozen=True, slots=True)
class MysqlSource(TableSource):
    """A table of a configured server; `table` may name its database before a dot."""

    type_name: ClassVar[str] = "mysql"
    settings: ClassVar[type[ConnectionSettings]] = MysqlSettings
