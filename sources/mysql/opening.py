"""Opening MySQL tables."""

from sources.mysql.connection import MysqlConnection
from sources.mysql.source import MysqlSource
from sources.tables.opening import TableOpener


class Opener(TableOpener):
    """Opens tables of one server."""

    connects_by = MysqlConnection
    opens = MysqlSource
