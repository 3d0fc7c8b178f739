"""Answering envelopes: each is acknowledged once its job or batch was planned, claimed, or found finished."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Sequence

from broker import envelopes
from broker.envelopes import BrokerError, Delivery
from broker.health import describe
from db import coordination, counters
from db.counters import Increment, increment
from db.engine import UNAVAILABLE, Connection, in_transaction
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED
from worker.claimer import Claimer
from worker.context import Context
from worker.runner import Runner

ENVELOPES_AT_ONCE = 500
ENTRIES_KEPT = 10_000
"""Answered entries that may wait for their acknowledgement."""
IDLE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.01
"""The first pause before jobs that another worker is planning, and whose envelopes are in hand, are looked at again;
doubled each time."""
RETRY_SECONDS = 0.5
SUBMISSION = "initial"
"""The source of which a second envelope is a duplicate; `fallback` and `manual` repeat on purpose."""


class Consumer:
    """Reads the stream while there is room, plans the named jobs and claims batches."""

    def __init__(self, context: Context, runners: Sequence[Runner], claimer: Claimer) -> None:
        self._context = context
        self._runners = runners
        self._claimer = claimer
        self._one_at_a_time = asyncio.Lock()
        self._in_hand: dict[int, list[Delivery]] = defaultdict(list)
        self._answered: list[bytes] = []

    async def run(self) -> None:
        """Answer envelopes until cancelled. Without the broker, poll PostgreSQL, which is slower."""
        await self._guarded(self.answer([]))
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self._context.drain.is_drained:
                await self._context.drain.resumed()
                await self.look()
            for runner in self._runners:
                await runner.room_to_plan()
            try:
                deliveries = await envelopes.reserve(
                    self._context.redis,
                    self._context.worker_id,
                    count=ENVELOPES_AT_ONCE,
                    block_seconds=pause if self._in_hand else IDLE_SECONDS,
                )
            except BrokerError as error:
                self._context.log.warning("broker_unavailable", error=str(error), code=describe(error).code)
                await asyncio.sleep(RETRY_SECONDS)
                await self.look()
            else:
                pause = FIRST_PAUSE_SECONDS if deliveries else min(2 * pause, IDLE_SECONDS)
                if self._context.drain.is_drained:
                    await self._guarded(_pass_on(self._context, deliveries))
                elif deliveries or self._in_hand:
                    await self._guarded(self.answer(deliveries))
                await self._acknowledge_late()

    async def look(self) -> None:
        """Look at all waiting jobs and batches in PostgreSQL, as for an envelope, unless the worker is drained."""
        if self._context.drain.is_drained:
            return
        await self._guarded(self.answer([]))
        for runner in self._runners:
            runner.look()
        self._claimer.wake()

    async def answer(self, deliveries: Sequence[Delivery]) -> None:
        """Look at all waiting work, then acknowledge these entries; envelopes of jobs that still wait stay in hand."""
        async with self._one_at_a_time:
            others = []
            for delivery in deliveries:
                if delivery.envelope is None:
                    self._context.log.warning("envelope_not_understood", entry_id=delivery.entry_id.decode())
                if delivery.envelope is None or delivery.envelope.batch is not None:
                    others.append(delivery.entry_id)
                else:
                    self._in_hand[delivery.envelope.job].append(delivery)
            for runner in self._runners:
                await self._plan(runner)
            is_late = await self._acknowledge_planned()
            if others or is_late:
                await self._claimer.look()
            await self._acknowledge(others)

    async def _plan(self, runner: Runner) -> None:
        """Plan queued jobs of a kind until all are planned or being planned by other workers."""
        while True:
            sources = {job_no: _sources(deliveries)[0] for job_no, deliveries in self._in_hand.items()}
            planned = await runner.plan(sources)
            done = {job_no: self._in_hand.pop(job_no) for job_no in planned.job_nos if job_no in self._in_hand}
            await self._record_repeats(
                (job_no, source)
                for job_no, deliveries in done.items()
                for source in _repeats(deliveries, answered=sources[job_no])
            )
            await self._acknowledge([delivery.entry_id for deliveries in done.values() for delivery in deliveries])
            if not planned.has_more:
                return

    async def _acknowledge_planned(self) -> bool:
        """Acknowledge the envelopes of jobs that are planned, and count repeats; keep those of jobs that still wait.

        Return whether there were any.
        """
        if not self._in_hand:
            return False
        submitted = [job_no for job_no, deliveries in self._in_hand.items() if SUBMISSION in _sources(deliveries)]
        found = await in_transaction(
            self._context.engine, lambda c: coordination.record_deliveries(c, self._in_hand, submitted)
        )
        done = {
            job_no: deliveries
            for job_no, deliveries in self._in_hand.items()
            if job_no not in found or not found[job_no].is_waiting
        }
        for job_no in done:
            del self._in_hand[job_no]
        await self._record_repeats(
            (job_no, source)
            for job_no, deliveries in done.items()
            if job_no in found
            for source in _repeats(deliveries, answered=SUBMISSION if found[job_no].is_first else None)
        )
        await self._acknowledge([delivery.entry_id for deliveries in done.values() for delivery in deliveries])
        return bool(done)

    async def _record_repeats(self, repeats: Iterable[tuple[int, str]]) -> None:
        """Enter (job_no, source) of envelopes that found their job planned into the ledger of triggers."""
        triggers = sorted(repeats)
        if not triggers:
            return

        async def record(connection: Connection) -> None:
            await coordination.insert_joined_triggers(connection, triggers, self._context.worker_no)
            await counters.add(connection, self._context.worker_no, _repeat_increments(triggers))

        await in_transaction(self._context.engine, record)
        for job_no, source in triggers:
            self._context.log.info(
                "duplicate_prevented", layer="delivery", reason="already_coordinated", job_no=job_no, source=source
            )

    async def _acknowledge(self, entry_ids: Sequence[bytes]) -> None:
        """Acknowledge answered entries; keep those that Redis refuses to acknowledge for later."""
        if not entry_ids:
            return
        try:
            await envelopes.acknowledge(self._context.redis, entry_ids)
        except BrokerError as error:
            self._context.log.warning("acknowledgement_delayed", error=str(error), entries=len(entry_ids))
            self._answered = [*self._answered, *entry_ids][-ENTRIES_KEPT:]

    async def _acknowledge_late(self) -> None:
        """Acknowledge entries that Redis refused before; forgotten entries will be answered again, in vain."""
        late, self._answered = self._answered, []
        await self._acknowledge(late)

    async def _guarded(self, step: Coroutine[None, None, None]) -> None:
        """Run a step; an unavailable store delays it. Unacknowledged entries stay in hand or are delivered again."""
        try:
            await step
        except (*UNAVAILABLE, BrokerError) as error:
            self._context.log.warning("doorbells_delayed", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


async def _pass_on(context: Context, deliveries: Sequence[Delivery]) -> None:
    """Publish these envelopes anew: this worker was drained, and another one answers them."""
    await envelopes.publish(context.redis, [each.envelope for each in deliveries if each.envelope is not None])
    if deliveries:
        await envelopes.acknowledge(context.redis, [each.entry_id for each in deliveries])


def _sources(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the source of each job's envelopes; the submission precedes others."""
    sources = [delivery.envelope.source for delivery in deliveries if delivery.envelope is not None]
    return sorted(sources, key=lambda source: source != SUBMISSION)


def _repeats(deliveries: Sequence[Delivery], *, answered: str | None) -> list[str]:
    """Return the sources of the envelopes that changed nothing: all but the answered envelope.

    A manual trigger is in the ledger before its envelope is published.
    """
    sources = _sources(deliveries)
    if answered is not None:
        sources.remove(answered)
    return [source for source in sources if source != "manual"]


def _repeat_increments(triggers: Sequence[tuple[int, str]]) -> list[Increment]:
    counts = Counter(source for _, source in triggers)
    joined = [increment(COORDINATION.name, count, source=source, outcome="joined") for source, count in counts.items()]
    duplicates = counts[SUBMISSION]
    if duplicates:
        joined.append(increment(DUPLICATES_PREVENTED.name, duplicates, layer="delivery", reason="already_coordinated"))
    return joined
