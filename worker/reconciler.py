"""Comparing what PostgreSQL owes with what the stream holds; the one leader announces what fell between.

It never decides throughput: everything it finds was lost by a crash, an emptied Redis, or a lease that ran out.
"""

import asyncio
import time
from collections.abc import Iterable

from broker import envelopes
from broker.envelopes import BrokerError, Envelope
from db import reconciliation, tallies
from db.engine import CONFLICTS, GONE, Connection
from db.reconciliation import Owed
from db.tallies import tally
from runtime.metrics import RECONCILED
from worker.consumer import Consumer
from worker.context import Context

BOUND_SECONDS = 1.0
"""How long a doorbell may take from commit to stream before its work counts as unannounced."""
ENTRIES_AT_ONCE = 500


class Reconciler:
    """One of these runs in every worker; the advisory lock makes one of them work at a time."""

    def __init__(self, context: Context, consumer: Consumer) -> None:
        self._context = context
        self._consumer = consumer

    async def run(self) -> None:
        """Compare every `reconcile_seconds` until cancelled."""
        while True:
            await asyncio.sleep(self._context.reconcile_seconds)
            try:
                await self._take_over()
                async with reconciliation.leadership(self._context.engine) as connection:
                    if connection is not None:
                        await self._reconcile(connection)
            except (*GONE, *CONFLICTS, BrokerError) as error:
                self._context.log.warning("reconcile_delayed", error=str(error))

    async def _take_over(self) -> None:
        """Answer doorbells that a dead worker took and never acknowledged."""
        taken = await envelopes.take_over(
            self._context.redis,
            self._context.worker_id,
            idle_seconds=self._context.lease_seconds,
            count=ENTRIES_AT_ONCE,
        )
        if taken:
            self._context.log.info("envelopes_taken_over", envelopes=len(taken))
            await self._consumer.answer(taken)

    async def _reconcile(self, connection: Connection) -> None:
        expired = await reconciliation.ready_expired_batches(connection)
        stranded = await reconciliation.ready_stranded_batches(connection)
        unannounced = await self._unannounced(connection, {*expired, *stranded})
        await self._announce(connection, "lease_expired", [Owed(*one, 0.0) for one in expired])
        await self._announce(connection, "stranded", [Owed(*one, 0.0) for one in stranded])
        await self._announce(connection, "unannounced", unannounced)
        await reconciliation.purge_idempotency_keys(connection, hours=self._context.idempotency_hours)

    async def _unannounced(self, connection: Connection, announced: set[tuple[int, int]]) -> list[Owed]:
        """Return owed work that no entry of the stream stands for.

        Whoever answers any doorbell looks at everything that waits, and rings again if it leaves something behind; so
        while the stream holds an entry nothing is lost: a backlog is not a loss. An entry in dead hands is taken over.
        """
        stream = await envelopes.look(self._context.redis)
        if stream.depth:
            return []
        owed = await reconciliation.find_owed(connection, min_seconds=BOUND_SECONDS)
        return [one for one in owed if (one.job_no, one.batch_no) not in announced]

    async def _announce(self, connection: Connection, reason: str, owed: Iterable[Owed]) -> None:
        bells = [
            Envelope(job=one.job_no, batch=one.batch_no, source="fallback", enqueued_at=time.time()) for one in owed
        ]
        if bells:
            await envelopes.publish(self._context.redis, bells)
            await tallies.add(connection, self._context.worker_no, [tally(RECONCILED.name, len(bells), reason=reason)])
            self._context.log.warning("reconciled", reason=reason, announced=len(bells))
