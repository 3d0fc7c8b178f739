"""Announcing: new jobs ring on the stream after their commit, without holding up the answer.

An envelope that is lost (Redis away, process killed) is published again by the reconciler; the job is in PostgreSQL.
While Redis refuses writes the workers find that out by themselves and look there.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from broker import envelopes
from broker.envelopes import BrokerError, Client, Envelope, NotPublished
from broker.health import describe

KEPT = 10_000
"""Bells that may wait while Redis is away; past that the reconciler rings."""
AT_ONCE = 500
PATIENCE_SECONDS = 0.5


class Announcer:
    """Rings for jobs, many in one round trip."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._waiting: list[Envelope] = []
        self._arrived = asyncio.Event()
        self._log = structlog.stdlib.get_logger()

    def announce(self, job_nos: Sequence[int], source: str = "initial") -> None:
        """Ring for these jobs soon."""
        now = time.time()
        self._ring([Envelope(job=job_no, source=source, enqueued_at=now) for job_no in job_nos])

    def announce_batch(self, job_no: int, batch_no: int, source: str = "manual") -> None:
        """Ring soon where something may be claimed again: whoever hears it looks at everything."""
        self._ring([Envelope(job=job_no, batch=batch_no, source=source, enqueued_at=time.time())])

    def _ring(self, bells: Sequence[Envelope]) -> None:
        self._waiting += bells
        del self._waiting[KEPT:]
        if self._waiting:
            self._arrived.set()

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            await self._arrived.wait()
            bells, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            if not self._waiting:
                self._arrived.clear()
            try:
                await envelopes.publish(self._redis, bells)
            except BrokerError as error:
                unpublished = error.envelopes if isinstance(error, NotPublished) else bells
                waiting = len(unpublished) + len(self._waiting)
                self._log.warning(
                    "announcement_delayed", error=str(error), code=describe(error).code, envelopes=waiting
                )
                await asyncio.sleep(PATIENCE_SECONDS)
                self._waiting = [*unpublished, *self._waiting][:KEPT]
                self._arrived.set()
