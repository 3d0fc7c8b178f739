"""PostgreSQL tables and views: how a spec names one, and what the configuration says of a database."""

from dataclasses import dataclass
from typing import ClassVar

from domain.postgres_url import WrongConnectionString, parse_connection_string
from domain.sources.connection import ConnectionSettings, DatabaseSettings
from domain.sources.tables import TableSource


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
class SqlSource(TableSource):
    """A table of a configured PostgreSQL database; `table` may name its schema before a dot."""

    type_name: ClassVar[str] = "sql"
    settings: ClassVar[type[ConnectionSettings]] = PostgresqlSettings
