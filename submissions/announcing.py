"""Announcing: envelopes for new jobs are published after their commit, without holding up the response.

An envelope that is lost (Redis unavailable, process killed) is published again by the reconciler; the job is in
PostgreSQL. While Redis refuses writes, workers notice it and poll PostgreSQL.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from broker import envelopes
from broker.envelopes import BrokerError, Client, Envelope, NotPublished
from broker.health import describe
from runtime.retrying import retry

MAX_WAITING = 10_000
"""Envelopes that may wait while Redis is unavailable; beyond that the reconciler publishes."""
AT_ONCE = 500
RETRY_DELAY_SECONDS = 0.5


class Announcer:
    """Publishes envelopes, many in one round trip."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._waiting: list[Envelope] = []
        self._arrived = asyncio.Event()
        self._log = structlog.stdlib.get_logger()

    def announce(self, job_nos: Sequence[int], source: str = "initial") -> None:
        """Publish an envelope for each of these jobs soon."""
        now = time.time()
        self._add([Envelope(job=job_no, source=source, enqueued_at=now) for job_no in job_nos])

    def announce_batch(self, job_no: int, batch_no: int, source: str = "manual") -> None:
        """Publish an envelope soon for work that may be claimed again; its receiver looks for any due work."""
        self._add([Envelope(job=job_no, batch=batch_no, source=source, enqueued_at=time.time())])

    def _add(self, added: Sequence[Envelope]) -> None:
        self._waiting += added
        del self._waiting[MAX_WAITING:]
        if self._waiting:
            self._arrived.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._arrived.wait()
            await retry(self._publish, on=(BrokerError,), delay_seconds=RETRY_DELAY_SECONDS, log_delay=self._log_delay)

    async def _publish(self) -> None:
        """Publish the envelopes that waited longest; those that can't be published keep waiting."""
        batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        try:
            await envelopes.publish(self._redis, batch)
        except BrokerError as error:
            unpublished = error.envelopes if isinstance(error, NotPublished) else batch
            self._waiting = [*unpublished, *self._waiting][:MAX_WAITING]
            raise
        if not self._waiting:
            self._arrived.clear()

    def _log_delay(self, error: Exception) -> None:
        waiting = len(self._waiting)
        self._log.warning("announcement_delayed", error=str(error), code=describe(error).code, envelopes=waiting)
