"""Claiming: takes what is due while there is room, woken by a doorbell, by freed room, or by a batch's own time.

Whoever leaves due work behind for lack of room rings once: a worker that has room looks, and rings in its turn. So a
stream with any entry in it means that somebody will look at everything that is due.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress

from broker import envelopes
from broker.envelopes import BrokerError, Envelope
from db import batches, tallies
from db.batches import ClaimedBatch
from db.engine import GONE, Connection, in_transaction
from db.tallies import tally
from runtime.metrics import LEASES_LOST
from worker.context import Context
from worker.executor import Executor
from worker.specs import Specs

PATIENCE_SECONDS = 0.2


class Claimer:
    """Claims due batches for the executor; one claim at a time."""

    def __init__(self, context: Context, executor: Executor, specs: Specs) -> None:
        self._context = context
        self._executor = executor
        self._specs = specs
        self._wake = asyncio.Event()
        self._wake.set()
        self._one_at_a_time = asyncio.Lock()

    def wake(self) -> None:
        """Say that something may be due."""
        self._wake.set()

    async def look(self) -> None:
        """Claim what is due, as far as there is room."""
        async with self._one_at_a_time:
            while self._executor.room and await self._claim():
                pass  # until nothing is claimed and no hint is cleared away
            if not self._executor.room:
                await self._ring()

    async def run(self) -> None:
        """Claim until cancelled; sleep while nothing is due. A look without room rings for somebody who has some."""
        while True:
            try:
                self._wake.clear()
                await self.look()
                await self._sleep()
            except (*GONE, BrokerError) as error:
                self._context.log.warning("claim_delayed", error=str(error))
                await asyncio.sleep(PATIENCE_SECONDS)
                self._wake.set()

    async def _ring(self) -> None:
        left = await in_transaction(self._context.claims, lambda c: batches.first_due(c, self._context.pools))
        if left is not None:
            job_no, batch_no = left
            bell = Envelope(job=job_no, batch=batch_no, source="initial", enqueued_at=time.time())
            await envelopes.publish(self._context.redis, [bell])

    async def _sleep(self) -> None:
        due_in_seconds = await in_transaction(self._context.claims, batches.next_due_seconds)
        timeout = None if due_in_seconds is None else max(0.001, due_in_seconds)
        # Not wait_for: until Python 3.12 it swallows a cancellation that comes with what it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    async def _claim(self) -> bool:
        """Claim once; return whether it changed anything."""
        holder = secrets.randbits(63)
        room = self._executor.room

        async def claim(connection: Connection) -> tuple[list[ClaimedBatch], int]:
            claimed, cleared = await batches.claim(
                connection,
                self._context.pools,
                cells=room,
                holder=holder,
                worker_no=self._context.worker_no,
                lease_seconds=self._context.lease_seconds,
                in_hand={run.batch.holder for run in self._executor.held.values()},
            )
            lost = sum(batch.was_lost for batch in claimed)
            if lost:
                await tallies.add(connection, self._context.worker_no, [tally(LEASES_LOST.name, lost)])
            return claimed, cleared

        claimed, cleared = await in_transaction(self._context.claims, claim)
        await self._start(claimed)
        return bool(claimed or cleared)

    async def _start(self, claimed: Sequence[ClaimedBatch]) -> None:
        """Start what was claimed. A batch whose spec can't be read is left to its lease, and fails after ten."""
        for batch in claimed:
            if batch.was_lost:
                self._context.log.warning("lease_lost", **_named(batch), times=batch.lost_leases)
        specs = await self._specs.load(batch.job_no for batch in claimed)
        for batch in claimed:
            if batch.job_no not in specs:
                self._context.log.error("spec_not_readable", **_named(batch))
        self._executor.start([batch for batch in claimed if batch.job_no in specs], specs)


def _named(batch: ClaimedBatch) -> dict[str, int]:
    return {"job_no": batch.job_no, "batch_no": batch.batch_no, "fence": batch.fence}
