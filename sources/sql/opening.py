"""Opening PostgreSQL tables."""

from sources.sql.session import SqlConnection
from sources.sql.source import SqlSource
from sources.tables.opening import TableOpener


class Opener(TableOpener):
    """Opens tables of one database."""

    connects_by = SqlConnection
    opens = SqlSource
