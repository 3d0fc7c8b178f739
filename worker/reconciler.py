"""The reconciler: one leader compares due work in PostgreSQL with the envelopes on the stream, and announces lost work.

Throughput doesn't depend on it: it finds only work lost by a crash, an emptied Redis, or an expired lease.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from broker import envelopes
from broker.envelopes import BrokerError, Envelope
from db import audit_retention, bulk_actions, configurations, counters, leadership, reconciliation, submission_events
from db.counters import increment
from db.engine import IDLE_SECONDS, UNAVAILABLE, Connection, Result, in_transaction
from db.leadership import RECONCILING, Leadership
from db.stalled import StalledSessions
from db.throughput import record_throughput
from domain.outcome import QUEUE_TIMEOUT
from runtime.metrics import DUPLICATES_PREVENTED, EXECUTIONS, IMPORT_ROWS, RECONCILED
from worker.consumer import Consumer
from worker.context import Context
from worker.folding import fold_stopped_processes
from worker.hold_reports import HoldReports
from worker.overdue_jobs import SOURCE, end_overdue_jobs

BOUND_SECONDS = 1.0
"""How long an envelope may take from the commit to the stream before its work counts as unannounced."""
ENTRIES_AT_ONCE = 500
SAMPLE_THROUGHPUT = partial(record_throughput, cells=EXECUTIONS.name, rows=IMPORT_ROWS.name)
PERIODS_LED = 3
"""Periods for which a dead leader keeps the other workers waiting; at most a lease."""


class Reconciler:
    """Reconciles while its worker leads; the other workers' reconcilers wait to take over."""

    def __init__(self, context: Context, consumer: Consumer, on_repaired: Callable[[], None]) -> None:
        self._context = context
        self._on_repaired = on_repaired
        self._consumer = consumer
        self._leadership: Leadership | None = None
        self._stalled_sessions = StalledSessions()
        self._hold_reports = HoldReports(context.worker_id)

    async def run(self) -> None:
        """Reconcile every `reconcile_seconds` until cancelled."""
        while True:
            await asyncio.sleep(self._context.reconcile_seconds)
            for step in (
                self._end_stalled_sessions,
                self._lead,
                self._repair,
                partial(self._as_leader, SAMPLE_THROUGHPUT),
                self._end_overdue_jobs,
                partial(self._hold_reports.report, self._as_leader),
                self._take_over,
                self._announce_owed_work,
                partial(fold_stopped_processes, self._context.engine),  # any worker: it locks their rows
            ):
                try:
                    await step()
                except (*UNAVAILABLE, BrokerError) as error:
                    self._context.log.warning("reconcile_delayed", error=str(error))

    async def _end_stalled_sessions(self) -> None:
        """End the stalled sessions of stopped processes. Every worker does so, since they may lock the leader's row."""
        seconds = min(IDLE_SECONDS, self._context.lease_seconds)

        async def unit(connection: Connection) -> list[str]:
            names = await self._stalled_sessions.end(connection, seconds=seconds)
            await self._count(connection, "stalled_session", len(names))
            return names

        for name in await in_transaction(self._context.engine, unit):
            self._context.log.warning("stalled_session_ended", session=name, seconds=seconds)

    async def _lead(self) -> None:
        """Take or renew the leadership; log if no worker has led for longer than a takeover takes."""
        self._leadership = None
        context = self._context
        lease_seconds = min(context.lease_seconds, PERIODS_LED * context.reconcile_seconds)
        self._leadership = await leadership.lead(
            context.engine, RECONCILING, context.worker_no, lease_seconds=lease_seconds
        )
        if self._leadership is not None:
            return
        leader = await in_transaction(context.engine, lambda c: leadership.read_leader(c, RECONCILING))
        if leader and leader.idle_seconds > lease_seconds + 2 * context.reconcile_seconds:
            context.log.warning("leader_missing", last=leader.worker, idle_seconds=leader.idle_seconds)

    async def _repair(self) -> None:
        """Offer batches whose leases ran out, or that no end of a batch would release, and the like; needs no Redis."""
        await self._ready("lease_expired", reconciliation.offer_expired_batches)
        await self._ready("stranded", reconciliation.offer_stranded_batches)
        await self._ready("accepted_anew", configurations.move_released_batches)
        for page in (
            submission_events.write_late_events,
            partial(reconciliation.purge_idempotency_keys, hours=self._context.idempotency_hours),
            bulk_actions.purge,
            audit_retention.remove_old_entries,
        ):
            while await self._as_leader(page):
                pass
        if self._leadership is not None:
            self._on_repaired()

    async def _ready(self, reason: str, ready: Callable[[Connection], Awaitable[list[tuple[int, int]]]]) -> None:
        async def unit(connection: Connection) -> int:
            count = len(await ready(connection))
            await self._count(connection, reason, count)
            return count

        self._log(reason, await self._as_leader(unit))

    async def _end_overdue_jobs(self) -> None:
        """End jobs that waited too long for a worker with room to plan them."""
        worker_no = self._context.worker_no
        while ended := await self._as_leader(lambda c: end_overdue_jobs(c, worker_no)):
            for job_id, detail in ended.items():
                self._context.log.error(
                    "job_not_coordinated", job_id=job_id, source=SOURCE, code=QUEUE_TIMEOUT, detail=detail
                )

    async def _take_over(self) -> None:
        """Answer envelopes that a dead worker had taken; a drained worker leaves them to others."""
        if self._context.drain.is_drained:
            return
        taken = await envelopes.take_over(
            self._context.redis,
            self._context.worker_id,
            idle_seconds=self._context.lease_seconds,
            count=ENTRIES_AT_ONCE,
        )
        if taken:
            self._context.log.info("envelopes_taken_over", envelopes=len(taken))
            await self._consumer.answer(taken)

    async def _announce_owed_work(self) -> None:
        """Publish envelopes for owed work if the stream holds none that a worker will answer.

        A worker that answers any envelope looks at all waiting work, and publishes another envelope if it leaves work;
        so while an entry will be answered, no work is lost: a backlog isn't a loss.
        """
        if self._leadership is None or await envelopes.has_answerable(self._context.redis):
            return
        owed = await self._as_leader(partial(reconciliation.find_owed_work, min_seconds=BOUND_SECONDS))
        if not owed:
            return
        now = time.time()
        owing = [Envelope(job=job, batch=batch, source="fallback", enqueued_at=now) for job, batch in owed]
        await envelopes.publish(self._context.redis, owing)

        # Not in a leader's transaction: the envelopes are published already, even if another worker leads now.
        await in_transaction(self._context.engine, lambda c: self._count(c, "unannounced", len(owing)))
        self._log("unannounced", len(owing))

    async def _as_leader(self, unit: Callable[[Connection], Awaitable[Result]]) -> Result | None:
        """Run `unit` in a transaction as the leader; None if this worker doesn't lead any more."""
        if self._leadership is None:
            return None
        found = await leadership.as_leader(self._context.engine, self._leadership, unit)
        if found is None:
            await self._step_down(self._leadership)
        return found

    async def _step_down(self, lost: Leadership) -> None:
        """Stop leading: another worker took over while this worker stood still. The prevented write is counted."""
        self._leadership = None
        prevented = increment(DUPLICATES_PREVENTED.name, 1, layer="leadership", reason="stale_fence")
        worker_no = self._context.worker_no
        await in_transaction(self._context.engine, lambda c: counters.add(c, worker_no, [prevented]))
        self._context.log.warning("duplicate_prevented", layer="leadership", reason="stale_fence", fence=lost.fence)

    async def _count(self, connection: Connection, reason: str, count: int) -> None:
        if count:
            await counters.add(connection, self._context.worker_no, [increment(RECONCILED.name, count, reason=reason)])

    def _log(self, reason: str, count: int | None) -> None:
        if count:
            self._context.log.warning("reconciled", reason=reason, count=count)
