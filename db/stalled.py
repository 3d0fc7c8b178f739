"""Ending sessions of a process that was stopped while it sent a statement, since they keep rows locked.

The driver prepares a statement and then executes it. Between both steps the session isn't idle for the server, whose
limit for idle transactions (`create_engine`) ends all other sessions of a stopped process.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from db.engine import COMMAND_SECONDS, Connection, statement

Wait: TypeAlias = tuple[int, datetime]
"""One wait of a session for its process: the session's pid and its `state_change`."""


class StalledSessions:
    """The waits that one process has seen, each since it saw it first."""

    def __init__(self) -> None:
        self._seen_since: Mapping[Wait, float] = {}

    async def end(self, connection: Connection, *, seconds: float) -> list[str]:
        """End the sessions seen in one wait for `seconds`; return their names (of a worker, its id).

        A copy gets the time that its process would give it. A session that is seen for the first time isn't ended:
        the server doesn't tell how long it has waited.
        """
        now = time.monotonic()
        rows = await connection.fetch(statement("find_waiting_sessions"))
        limits: dict[Wait, float] = {
            (row["pid"], row["state_change"]): max(seconds, COMMAND_SECONDS) if row["is_copy"] else seconds
            for row in rows
        }
        since = {wait: self._seen_since.get(wait, now) for wait in limits}
        self._seen_since = since
        stalled = [wait for wait, limit in limits.items() if since[wait] < now and now - since[wait] >= limit]
        if not stalled:
            return []
        pids, state_changes = zip(*stalled, strict=True)
        ended = await connection.fetch(statement("end_stalled_sessions"), pids, state_changes)
        return [row["name"] for row in ended]
