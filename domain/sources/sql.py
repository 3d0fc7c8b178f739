"""PostgreSQL: the source of a spec, and the settings of a connection."""

from dataclasses import dataclass
from typing import ClassVar

from domain.postgres_url import WrongConnectionString, parse_connection_string
from domain.sources.connection import ConnectionSettings, DatabaseSettings
from domain.sources.tables import TableSource


class PostgresqlSettings(DatabaseSettings):
    """A connection to a PostgreSQL database; the default type of connections."""

    type_name: ClassVar[str] = "postgresql"

    type: str = "postgresql"

    def fault(self, url: str) -> str | None:
        """Return why a text isn't a connection string."""
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
