"""PostgreSQL tables and views: how a spec names one, and what the configuration says of a database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.postgres_url import WrongConnectionString, parse_connection_string
from domain.scope import Scope
from domain.sources.connection import ConnectionSettings, DatabaseSettings
from domain.sources.names import TABLE_SCHEMA, read_listed_table
from domain.sources.source import CONNECTION_SCHEMA, ConnectionSource


class PostgresqlSettings(DatabaseSettings):
    """A connection to a PostgreSQL database. A connection that gives no type is one."""

    type_name: ClassVar[str] = "postgresql"

    type: str = "postgresql"

    def fault(self, url: str) -> str | None:
        """Say what keeps a text from being a connection string."""
        try:
            parse_connection_string(url)
        except WrongConnectionString as error:
            return f"can't be used: {error}"
        return None


@dataclass(frozen=True, slots=True)
class SqlSource(ConnectionSource):
    """A table of a configured PostgreSQL database; `table` may name its schema before a dot."""

    type_name: ClassVar[str] = "sql"
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {"connection": CONNECTION_SCHEMA, "table": TABLE_SCHEMA}
    label: ClassVar[str] = "table {table} of {connection}"
    settings: ClassVar[type[ConnectionSettings]] = PostgresqlSettings

    table: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Return the table that an object names."""
        names = read_listed_table(members, at, cls.type_name, scope)
        return None if names is None else cls(*names)
