"""Backpressure: new jobs are rejected while too many wait to be planned."""

import time

from db import submissions
from db.engine import QUICK_SECONDS, Engine, connect
from domain.errors import Overloaded

RETRY_SECONDS = 5


class Backlog:
    """Counts the waiting jobs once a second, and before each decision near the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._estimate = limit
        self._counted_at = float("-inf")

    async def take(self, engine: Engine, jobs: int) -> int:
        """Return how many of `jobs` new jobs fit within the limit, and count them as waiting."""
        now = time.monotonic()
        if now - self._counted_at > 1 or (self._estimate + jobs) * 2 > self._limit:
            async with connect(engine, seconds=QUICK_SECONDS) as connection:
                self._estimate = await submissions.count_backlog(connection, self._limit)
            self._counted_at = now
        taken = max(0, min(jobs, self._limit - self._estimate))
        self._estimate += taken
        return taken

    def rejection(self) -> Overloaded:
        """Return the error for jobs beyond the limit."""
        detail = f"{self._limit} jobs wait to be planned, which is as many as may: repeat this later."
        return Overloaded(detail, retry_after_seconds=RETRY_SECONDS)
