"""Comparing what PostgreSQL owes with what the stream holds; the one leader announces what fell between.

It never decides throughput: everything it finds was lost by a crash, an emptied Redis, or a lease that ran out.
"""

import asyncio
import time
from collections.abc import Callable

from broker import envelopes
from broker.envelopes import BrokerError, Envelope
from db import reconciliation, tallies
from db.engine import GONE, Connection
from db.tallies import tally
from runtime.metrics import RECONCILED
from worker.consumer import Consumer
from worker.context import Context
from worker.folding import fold_stopped_processes

BOUND_SECONDS = 1.0
"""How long a doorbell may take from commit to stream before its work counts as unannounced."""
ENTRIES_AT_ONCE = 500


class Reconciler:
    """One of these runs in every worker; the advisory lock makes one of them work at a time."""

    def __init__(self, context: Context, consumer: Consumer, on_repaired: Callable[[], None]) -> None:
        self._context = context
        self._on_repaired = on_repaired
        self._consumer = consumer

    async def run(self) -> None:
        """Compare every `reconcile_seconds` until cancelled."""
        while True:
            await asyncio.sleep(self._context.reconcile_seconds)
            for step in (self._repair, self._take_over, self._announce_what_is_owed, self._fold):
                try:
                    await step()
                except (*GONE, BrokerError) as error:
                    self._context.log.warning("reconcile_delayed", error=str(error))

    async def _repair(self) -> None:
        """Offer what sits in leases that ran out and what nobody would release; needs no Redis."""
        async with reconciliation.leadership(self._context.engine) as connection:
            if connection is None:
                return
            await self._count(connection, "lease_expired", len(await reconciliation.ready_expired_batches(connection)))
            await self._count(connection, "stranded", len(await reconciliation.ready_stranded_batches(connection)))
            while await reconciliation.purge_idempotency_keys(connection, hours=self._context.idempotency_hours):
                pass
        self._on_repaired()

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

    async def _announce_what_is_owed(self) -> None:
        """Ring for owed work that no entry of the stream stands for.

        Whoever answers any doorbell looks at everything that waits, and rings again if it leaves something behind; so
        while somebody will answer an entry nothing is lost: a backlog is not a loss.
        """
        async with reconciliation.leadership(self._context.engine) as connection:
            if connection is None or await envelopes.has_answerable(self._context.redis):
                return
            owed = await reconciliation.find_owed(connection, min_seconds=BOUND_SECONDS)
            if owed:
                now = time.time()
                bells = [Envelope(job=job, batch=batch, source="fallback", enqueued_at=now) for job, batch in owed]
                await envelopes.publish(self._context.redis, bells)
                await self._count(connection, "unannounced", len(bells))

    async def _fold(self) -> None:
        """Sum up processes that stopped; every worker may, since their rows are locked."""
        await fold_stopped_processes(self._context.engine)

    async def _count(self, connection: Connection, reason: str, count: int) -> None:
        if count:
            await tallies.add(connection, self._context.worker_no, [tally(RECONCILED.name, count, reason=reason)])
            self._context.log.warning("reconciled", reason=reason, count=count)
