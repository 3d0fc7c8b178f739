"""For how long the audit log is kept: the owner of the tables sets it, and services can't change it."""

from db.engine import Connection, statement

REMOVED_AT_ONCE = 1_000


async def set_retention(connection: Connection, days: int | None) -> bool:
    """Keep the audit log for so many days, None: for ever; return whether that is a change.

    For the owner of the tables: nobody else may.
    """
    if await connection.fetchval(statement("read_audit_retention")) == days:
        return False
    if days is None:
        await connection.execute(statement("delete_audit_retention"))
    else:
        await connection.execute(statement("set_audit_retention"), days)
    return True


async def remove_old_entries(connection: Connection) -> int:
    """Remove a page of what is kept no longer; return how much that was. Without a retention nothing is removed."""
    removed: int = await connection.fetchval(statement("remove_old_audit_entries"), REMOVED_AT_ONCE)
    return removed
