"""Ending sessions of a process that was stopped while it sent a statement, since they keep rows locked."""

from db.engine import COMMAND_SECONDS, Connection, statement


async def end_stalled_sessions(connection: Connection, *, seconds: float) -> list[str]:
    """End the sessions that wait `seconds` for the rest of a statement; return their names (of a worker, its id).

    The driver prepares a statement and then executes it. Between both steps the session isn't idle for the server,
    whose limit for idle transactions (`create_engine`) ends all other sessions of a stopped process. A copy gets the
    time that its process would give it.
    """
    rows = await connection.fetch(statement("end_stalled_sessions"), seconds, max(seconds, COMMAND_SECONDS))
    return [row["name"] for row in rows]
