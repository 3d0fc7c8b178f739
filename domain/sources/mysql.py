"""MySQL and MariaDB tables and views: how a spec names one, and what the configuration says of a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.mysql_url import WrongMysqlUrl, parse_mysql_url
from domain.scope import Scope
from domain.sources.connection import ConnectionSettings, DatabaseSettings
from domain.sources.names import TABLE_SCHEMA, read_listed_table
from domain.sources.source import CONNECTION_SCHEMA, ConnectionSource


class MysqlSettings(DatabaseSettings):
    """A connection to a MySQL or MariaDB server; its tables are listed as `database.table`."""

    type_name: ClassVar[str] = "mysql"

    def fault(self, url: str) -> str | None:
        """Say what keeps a text from being a URL of such a server."""
        try:
            parse_mysql_url(url)
        except WrongMysqlUrl as error:
            return f"can't be used: {error}"
        return None


@dataclass(frozen=True, slots=True)
class MysqlSource(ConnectionSource):
    """A table of a configured server; `table` may name its database before a dot."""

    type_name: ClassVar[str] = "mysql"
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {"connection": CONNECTION_SCHEMA, "table": TABLE_SCHEMA}
    label: ClassVar[str] = "table {table} of {connection}"
    settings: ClassVar[type[ConnectionSettings]] = MysqlSettings

    table: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Return the table that an object names."""
        names = read_listed_table(members, at, cls.type_name, scope)
        return None if names is None else cls(*names)
