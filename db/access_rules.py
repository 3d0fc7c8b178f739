"""The access rules that migrations make, recorded so that what others change is found (docs/decisions/0048)."""

from collections.abc import Mapping

from sqlalchemy import Connection

from db.engine import statement

Rules = Mapping[str, str]
"""Definitions by the objects of rules."""
_ARE_RECORDED = "SELECT to_regclass('expected_access_rules') IS NOT NULL"


def read_rules(connection: Connection) -> Rules | None:
    """Return the rules as they are, before a migration; None while the schema records none."""
    if not connection.exec_driver_sql(_ARE_RECORDED).scalar_one():
        return None
    return {row.object: row.definition for row in connection.exec_driver_sql(statement("read_access_rules"))}


def record_changes(connection: Connection, before: Rules | None) -> None:
    """Record what the migration since `before` made, changed or took away; call it in the migration's transaction."""
    if before is not None:
        connection.exec_driver_sql(statement("record_access_rules"), (list(before), list(before.values())))
