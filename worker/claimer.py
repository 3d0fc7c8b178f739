"""Claiming due batches while there is room: woken by an envelope, by freed room, or by a batch's own time.

A full worker announces once that it leaves due work: a worker with room looks, and announces in turn the work that it
leaves. So as long as the stream holds an entry, a worker will look at all due work.
"""

import asyncio
import math
import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from db import batches, counters
from db.batches import Claim, Claimant
from db.configurations import ConfigurationChanged
from db.counters import increment
from db.engine import UNAVAILABLE, Connection, in_transaction
from runtime.metrics import LEASES_LOST
from runtime.retrying import retry
from worker.context import Context
from worker.left_work import publish_envelope
from worker.runner import Claiming, Runner, Wakes, WorkerKind

RETRY_SECONDS = 0.2
STARVED_SECONDS = 0.2
"""The interval at which a batch with fewer permits than cells asks for more."""


@dataclass(slots=True)
class _Queue:
    """The state of a kind's queue: whether a batch may be due, or will be at a time of the monotonic clock.

    `others_know` if another worker has published a notice that it leaves batches of the kind.
    """

    runner: Runner
    may_be_due: bool = True
    due_at: float = math.inf
    others_know: bool = False

    @property
    def is_due(self) -> bool:
        """Whether to claim for the runner now."""
        return self.runner.is_eager or self.may_be_due or time.monotonic() >= self.due_at


class Claimer:
    """Claims due batches for the runners of the kinds; one claim at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue_by_kind: dict[str, _Queue] = {}
        self._wake = asyncio.Event()
        self._wake.set()
        self._one_at_a_time = asyncio.Lock()
        self._looked_at: datetime | None = None

    def open_runner(self, kind: WorkerKind) -> Runner:
        """Open the runner of a kind; claim for it from now on."""
        name = kind.stored.name
        runner = kind.open_runner(self._context, Wakes(self.wake, lambda: self.wake_for(name)))
        self._queue_by_kind[name] = _Queue(runner)
        return runner

    @property
    def _runners(self) -> list[Runner]:
        return [queue.runner for queue in self._queue_by_kind.values()]

    def wake(self) -> None:
        """Note that a batch of any kind may be due."""
        self._mark_all()
        self._wake.set()

    def wake_for(self, kind: str) -> None:
        """Note that batches of a kind may be due, or that there is room for some."""
        self._queue_by_kind[kind].may_be_due = True
        self._wake.set()

    def wake_by_another(self, kind: str) -> None:
        """Note that another worker leaves batches of a kind, and has published a notice of it."""
        queue = self._queue_by_kind[kind]
        queue.others_know = queue.others_know or not queue.may_be_due
        queue.may_be_due = True
        self._wake.set()

    async def look(self) -> None:
        """Claim due batches while there is room."""
        self._mark_all()
        await self._look_at_queues()

    def _mark_all(self) -> None:
        for queue in self._queue_by_kind.values():
            queue.may_be_due = True
            queue.others_know = False

    async def _look_at_queues(self) -> None:
        async with self._one_at_a_time:
            looked_at = []
            for queue in self._queue_by_kind.values():
                if queue.is_due:
                    looked_at += await self._look_for(queue)
            self._looked_at = min(looked_at, default=None)

    async def _look_for(self, queue: _Queue) -> list[datetime]:
        """Claim batches of a kind; announce due ones without room for them, unless others know and none was claimed.

        Return the time of the look.
        """
        runner, others_know = queue.runner, queue.others_know
        queue.may_be_due = queue.others_know = False
        queue.due_at = math.inf
        try:
            claims = runner.claims()
            found = [await self._claim_all(runner, claim) for claim in claims]
            if not runner.has_room and (claims or not others_know):
                await self._announce_left(runner)
        except BaseException:
            queue.may_be_due = True
            raise
        return [at for at in found if at is not None]

    async def _announce_left(self, runner: Runner) -> None:
        left = await in_transaction(self._context.claims, runner.find_left)
        if left is not None:
            await runner.announce_left(*left)

    async def announce_all(self) -> None:
        """Publish an envelope if a batch that this worker could claim is due and unclaimed."""
        pools = {pool: numbers for runner in self._runners for pool, numbers in runner.pools.items()}
        left = await in_transaction(self._context.claims, lambda c: batches.find_first_due(c, pools))
        if left is not None:
            await publish_envelope(self._context, *left)

    async def run(self) -> None:
        """Claim until cancelled; sleep while nothing is due."""
        while True:
            await retry(
                self._look_and_sleep,
                on=UNAVAILABLE,
                delay_seconds=RETRY_SECONDS,
                log_delay=lambda error: self._context.log.warning("claim_delayed", error=str(error)),
            )

    async def _look_and_sleep(self) -> None:
        self._wake.clear()
        await self._look_at_queues()
        await self._sleep()

    async def _sleep(self) -> None:
        due_in_seconds = await in_transaction(
            self._context.claims, lambda c: batches.next_due_seconds(c, self._looked_at)
        )
        if due_in_seconds is not None and due_in_seconds <= 0:
            for runner in self._runners:
                for claim in runner.overdue_claims():
                    await self._claim(runner, claim)
        timeout = None if due_in_seconds is None else max(0.001, due_in_seconds)
        if timeout is not None:  # a kind may be woken just before, and the other kinds must not miss their time
            for queue in self._queue_by_kind.values():
                queue.due_at = min(queue.due_at, time.monotonic() + timeout)
        if any(runner.is_starved for runner in self._runners):
            timeout = STARVED_SECONDS if timeout is None else min(timeout, STARVED_SECONDS)
        # Not wait_for: until Python 3.12 it swallows a cancellation that comes together with the result.
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            for queue in self._queue_by_kind.values():
                queue.may_be_due = True

    async def _claim_all(self, runner: Runner, claim: Claiming) -> datetime | None:
        """Claim until no more batches can be claimed; return the time of the last look."""
        while True:
            claimed = await self._claim(runner, claim)
            if not claimed.may_take_more:
                return claimed.looked_at

    async def _claim(self, runner: Runner, claim: Claiming) -> Claim:
        """Claim in a transaction of its own and start the claimed batches; a drained worker claims nothing."""
        if self._context.drain.is_drained:
            return Claim()
        claimant = Claimant(
            holder=secrets.randbits(63),
            worker_no=self._context.worker_no,
            lease_seconds=self._context.lease_seconds,
            configuration_no=self._context.serving.configuration.number,
            in_hand={batch.holder for holding in self._runners for batch in holding.held},
            but_not_jobs=runner.skipped_jobs,
        )
        try:
            claimed = await in_transaction(self._context.claims, lambda c: _claim_and_count(c, claim, claimant))
        except ConfigurationChanged:  # no batch was claimed; the follower of configurations wakes this later
            self._context.served.is_stale.set()
            return Claim()
        await runner.take(claimed)
        return claimed


async def _claim_and_count(connection: Connection, claim: Claiming, claimant: Claimant) -> Claim:
    claimed = await claim(connection, claimant)
    lost = sum(batch.was_lost for batch in claimed.batches)
    if lost:
        await counters.add(connection, claimant.worker_no, [increment(LEASES_LOST.name, lost)])
    return claimed
