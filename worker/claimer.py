"""Claiming: takes what is due while there is room, woken by a doorbell, by freed room, or by a batch's own time.

Whoever leaves due work behind for lack of room rings once: a worker that has room looks, and rings in its turn. So a
stream with any entry in it means that somebody will look at everything that is due. Batches of imports have room of
their own, so whoever leaves those behind tells all workers: a bell might be answered by one without room for them.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime

from broker import envelopes, notices
from broker.envelopes import BrokerError, Envelope
from broker.health import describe
from broker.notices import Notice
from db import batches, tallies
from db.batches import Claim, Claimant, ClaimedBatch
from db.configurations import ConfigurationChanged
from db.engine import GONE, Connection, in_transaction
from db.imports import IMPORT_POOL
from db.tallies import tally
from runtime.metrics import LEASES_LOST
from worker.context import Context
from worker.executor import Executor
from worker.importer import Importer
from worker.specs import Specs

PATIENCE_SECONDS = 0.2
PUBLISH_SECONDS = 0.5
"""How long a claim waits for a silent Redis before it goes on."""
OVERDUE_AT_ONCE = 64
STARVED_SECONDS = 0.2
"""How soon a batch with fewer slots than cells is offered what others left."""


class Claimer:
    """Claims due batches for the executor and the importer; one claim at a time."""

    def __init__(self, context: Context, executor: Executor, importer: Importer, specs: Specs) -> None:
        self._context = context
        self._executor = executor
        self._importer = importer
        self._specs = specs
        self._wake = asyncio.Event()
        self._wake.set()
        self._ranges_may_be_due = True
        self._ranges_due_at = math.inf
        self._others_know = False
        self._one_at_a_time = asyncio.Lock()
        self._looked_at: datetime | None = None

    def wake(self) -> None:
        """Say that something may be due."""
        self._ranges_may_be_due = True
        self._others_know = False
        self._wake.set()

    def wake_by_another(self) -> None:
        """Say that another worker leaves batches of imports behind, and told all."""
        self._others_know = self._others_know or not self._ranges_may_be_due
        self._ranges_may_be_due = True
        self._wake.set()

    def wake_for_cells(self) -> None:
        """Say that cells may be due, or that there is room for some: nothing of an import was heard of."""
        self._wake.set()

    async def look(self) -> None:
        """Claim what is due, as far as there is room."""
        self._ranges_may_be_due = True
        self._others_know = False
        await self._look_around()

    async def _look_around(self) -> None:
        async with self._one_at_a_time:
            looked_at = []
            if self._executor.in_hand.room_for_calls:
                looked_at.append(await self._look(self._claim_calls))
            if self._executor.in_hand.room_for_cells:
                looked_at.append(await self._look(self._claim_cells))
            if self._ranges_may_be_due or time.monotonic() >= self._ranges_due_at:
                looked_at.append(await self._look_for_ranges())
            self._looked_at = min((at for at in looked_at if at is not None), default=None)
            if not self._executor.in_hand.has_room.is_set():
                await self.ring(self._context.serving.cell_identity_nos)

    async def _look_for_ranges(self) -> datetime | None:
        """Claim batches of imports. What there is no room for is told to all, unless all know and none was taken."""
        room, others_know = self._importer.room, self._others_know
        self._ranges_may_be_due = self._others_know = False
        self._ranges_due_at = math.inf
        try:
            looked_at = await self._look(self._claim_ranges) if room else None
            if not self._importer.room and (room or not others_know):
                await self._tell_others()
        except BaseException:
            self._ranges_may_be_due = True
            raise
        return looked_at

    async def _tell_others(self) -> None:
        """Tell all workers of batches of imports that are due and that their jobs' limits let others take."""

        async def unit(connection: Connection) -> tuple[int, int] | None:
            if read := self._importer.read:
                await batches.free_slots(connection, read)
            return await batches.first_due(connection, self._context.serving.import_identity_nos)

        if await in_transaction(self._context.claims, unit) is not None:
            with suppress(BrokerError, TimeoutError):  # others look by themselves while Redis refuses
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await notices.publish(self._context.redis, Notice("imports"))

    async def run(self) -> None:
        """Claim until cancelled; sleep while nothing is due. A look without room rings for somebody who has some."""
        while True:
            try:
                self._wake.clear()
                await self._look_around()
                await self._sleep()
            except GONE as error:
                self._context.log.warning("claim_delayed", error=str(error))
                await asyncio.sleep(PATIENCE_SECONDS)
                self._wake.set()

    async def ring(self, identity_nos: Sequence[int]) -> None:
        """Publish an envelope if anything of these is due and unclaimed. While Redis refuses, the others look."""
        left = await in_transaction(self._context.claims, lambda c: batches.first_due(c, identity_nos))
        if left is not None:
            job_no, batch_no = left
            bell = Envelope(job=job_no, batch=batch_no, source="initial", enqueued_at=time.time())
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await envelopes.publish(self._context.redis, [bell])
            except (BrokerError, TimeoutError) as error:
                self._context.log.warning("announcement_delayed", error=str(error), code=describe(error).code)

    async def _sleep(self) -> None:
        due_in_seconds = await in_transaction(
            self._context.claims, lambda c: batches.next_due_seconds(c, self._looked_at)
        )
        if due_in_seconds is not None and due_in_seconds <= 0:
            await self._take(self._claim_overdue)
        timeout = None if due_in_seconds is None else max(0.001, due_in_seconds)
        if timeout is not None:  # cells may wake this just before, and what is due then would be nobody's news any more
            self._ranges_due_at = min(self._ranges_due_at, time.monotonic() + timeout)
        if self._executor.starved():  # whoever frees their slots, perhaps elsewhere, doesn't know of them
            timeout = STARVED_SECONDS if timeout is None else min(timeout, STARVED_SECONDS)
        # Not wait_for: until Python 3.12 it swallows a cancellation that comes with what it waits for.
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            self._ranges_may_be_due = True

    async def _look(self, claim: Callable[[Connection, Claimant], Awaitable[Claim]]) -> datetime | None:
        """Claim until nothing more can be taken; return when the queue was looked at last."""
        while True:
            claimed = await self._take(claim)
            if not claimed.may_take_more:
                return claimed.looked_at

    async def _claim_calls(self, connection: Connection, claimant: Claimant) -> Claim:
        room = self._executor.in_hand.room_for_calls
        return await batches.claim_calls(
            connection, self._context.serving.called, claimant, calls=room, growing=self._executor.starved()
        )

    async def _claim_cells(self, connection: Connection, claimant: Claimant) -> Claim:
        room = self._executor.in_hand.room_for_cells
        return await batches.claim_cells(connection, self._context.serving.instant, claimant, cells=room)

    async def _claim_ranges(self, connection: Connection, claimant: Claimant) -> Claim:
        if read := self._importer.read:
            await batches.free_slots(connection, read)
        return await batches.claim_calls(connection, self._context.serving.imports, claimant, calls=self._importer.room)

    async def _claim_overdue(self, connection: Connection, claimant: Claimant) -> Claim:
        return Claim(await batches.claim_overdue(connection, claimant, limit=OVERDUE_AT_ONCE))

    async def _take(self, claim: Callable[[Connection, Claimant], Awaitable[Claim]]) -> Claim:
        """Claim in a transaction of its own and start what was claimed."""
        claimant = Claimant(
            holder=secrets.randbits(63),
            worker_no=self._context.worker_no,
            lease_seconds=self._context.lease_seconds,
            configuration_no=self._context.serving.configuration.number,
            in_hand={
                *(batch.holder for batch in self._executor.held),
                *(batch.holder for batch in self._importer.held),
            },
            but_not_jobs=self._importer.left_to_others.job_nos,
        )

        async def unit(connection: Connection) -> Claim:
            claimed = await claim(connection, claimant)
            lost = sum(batch.was_lost for batch in claimed.batches)
            if lost:
                await tallies.add(connection, self._context.worker_no, [tally(LEASES_LOST.name, lost)])
            return claimed

        try:
            claimed = await in_transaction(self._context.claims, unit)
        except ConfigurationChanged:  # nothing was taken; the follower wakes this once it has read the other one
            self._context.served.is_stale.set()
            return Claim()
        for batch, slots in claimed.grown:
            self._executor.grow(batch, slots)
        await self._start(claimed.batches)
        return claimed

    async def _start(self, claimed: Sequence[ClaimedBatch]) -> None:
        """Start what was claimed. A batch whose spec can't be read is left to its lease, and fails after ten.

        So is one for an identity that this worker doesn't serve, whatever brought it here.
        """
        for batch in claimed:
            if batch.was_lost and batch.pool != IMPORT_POOL:  # the importer knows more of its own
                self._context.log.warning("lease_lost", **_named(batch), times=batch.lost_leases)
        if ranges := [batch for batch in claimed if batch.pool == IMPORT_POOL]:
            await self._importer.start(ranges)
            claimed = [batch for batch in claimed if batch.pool != IMPORT_POOL]
        for batch in claimed:
            if not self._can_answer(batch):
                self._context.log.error("identity_not_served", **_named(batch), identity_no=batch.identity_no)
        claimed = [batch for batch in claimed if self._can_answer(batch)]
        specs = await self._specs.load(batch.job_no for batch in claimed)
        for batch in claimed:
            if batch.job_no not in specs:
                self._context.log.error("spec_not_readable", **_named(batch))
        self._executor.start([batch for batch in claimed if batch.job_no in specs], specs)

    def _can_answer(self, batch: ClaimedBatch) -> bool:
        """Say whether a batch can be begun here; one that is only to be ended asks nobody."""
        return batch.is_overdue or self._context.provider_of(batch.identity_no) is not None


def _named(batch: ClaimedBatch) -> dict[str, int]:
    return {"job_no": batch.job_no, "batch_no": batch.batch_no, "fence": batch.fence}
