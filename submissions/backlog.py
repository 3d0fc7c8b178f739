"""Backpressure: new jobs are rejected while too many wait to be planned, first those of tenants that have most."""

import time
from collections import Counter
from collections.abc import Sequence

from db import submissions
from db.engine import QUICK_SECONDS, Engine, connect
from domain.errors import Overloaded

RETRY_SECONDS = 5
MOST_PER_ROOM = 3
"""How many jobs of a tenant may wait for each one that there is still room for."""


class Backlog:
    """Counts the waiting jobs once a second, and before each decision near the limit.

    If it `is_shared`, a tenant may have three jobs waiting for each that there is still room for (dynamic thresholds;
    Choudhury and Hahne, 1998). So one tenant fills three quarters, the next one three quarters of the rest, and as jobs
    are planned, all that want more come to have the same.
    """

    def __init__(self, limit: int, *, is_shared: bool) -> None:
        self._limit = limit
        self._is_shared = is_shared
        self._waiting: Counter[int] = Counter()
        self._counted_at = float("-inf")

    async def take(self, engine: Engine, tenant_nos: Sequence[int]) -> list[Overloaded | None]:
        """Count new jobs of these tenants as waiting, in order; return the error of each that doesn't fit."""
        now = time.monotonic()
        if now - self._counted_at > 1 or (self._waiting.total() + len(tenant_nos)) * 2 > self._limit:
            async with connect(engine, seconds=QUICK_SECONDS) as connection:
                self._waiting = Counter(await submissions.count_backlog(connection, self._limit))
            self._counted_at = now
        room = self._limit - self._waiting.total()
        refusals: list[Overloaded | None] = []
        for tenant_no in tenant_nos:
            refusal = self._refusal(tenant_no, room)
            if refusal is None:
                self._waiting[tenant_no] += 1
                room -= 1
            refusals.append(refusal)
        return refusals

    def _refusal(self, tenant_no: int, room: int) -> Overloaded | None:
        if room <= 0:
            detail = f"{self._limit} jobs wait to be planned, which is as many as may: repeat this later."
        elif self._is_shared and (own := self._waiting[tenant_no]) >= MOST_PER_ROOM * room:
            detail = (
                f"{own} of your jobs wait to be planned, and the room that is left is for others: repeat this later."
            )
        else:
            return None
        return Overloaded(detail, retry_after_seconds=RETRY_SECONDS)
