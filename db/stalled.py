"""Sessions of a process that was stopped in the midst of sending a statement, and what they keep locked."""

from db.engine import COMMAND_SECONDS, Connection, statement


async def end_stalled_sessions(connection: Connection, *, seconds: float) -> list[str]:
    """End the sessions that wait for so long for the rest of a statement; return their names (of a worker, its id).

    The driver prepares a statement and then executes it. Between both its session isn't idle to the server, whose limit
    for idle transactions (`create_engine`) ends all others of a process that stands still. A copy is given as long as
    its process, were it alive, would give it.
    """
    rows = await connection.fetch(statement("end_stalled_sessions"), seconds, max(seconds, COMMAND_SECONDS))
    return [row["name"] for row in rows]
