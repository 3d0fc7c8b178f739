"""Coordinating imports: one worker at a time surveys an import, under a lease that it renews meanwhile."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from broker import locks
from broker.envelopes import BrokerError
from db import counters, import_coordination
from db.engine import UNAVAILABLE, Connection, in_transaction
from db.import_coordination import Coordination, Served, Waiting
from runtime.metrics import COORDINATION_SECONDS
from runtime.retrying import retry
from worker.context import Context
from worker.imports.coordination_lease import CoordinationLease
from worker.imports.planning import ImportPlanner
from worker.imports.skip_list import SkipList
from worker.trigger_counters import trigger_increments

AT_ONCE = 4
"""Imports that a worker coordinates concurrently."""
RETRY_SECONDS = 0.5


class ImportCoordinator:
    """Takes waiting imports and has each planned, once. `on_planned` is called after the commit of each plan."""

    def __init__(self, context: Context, on_planned: Callable[[], None]) -> None:
        self._context = context
        self._wake = asyncio.Event()
        self._under_way: set[int] = set()
        self._skipped = SkipList()
        self._planner = ImportPlanner(context, on_planned, self._skipped)

    @property
    def _served(self) -> Served:
        serving = self._context.serving
        return Served(serving.configuration.number, serving.source_nos)

    def wake(self) -> None:
        """Note that an import may wait."""
        self._wake.set()

    async def run(self) -> None:
        """Coordinate until cancelled; the leases in hand are released then."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                timeout = await retry(
                    lambda: self._look(group),
                    on=UNAVAILABLE,
                    delay_seconds=RETRY_SECONDS,
                    log_delay=lambda error: self._context.log.warning("coordination_delayed", error=str(error)),
                )
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._wake.wait()

    async def _look(self, group: asyncio.TaskGroup) -> float | None:
        """Begin with waiting imports; return in how many seconds to look again unless woken."""
        await self._take(group)
        seconds = await in_transaction(self._context.engine, import_coordination.next_due_seconds)
        known = [due for due in (seconds, self._skipped.seconds) if due is not None]
        return max(0.01, min(known)) if known else None

    async def _take(self, group: asyncio.TaskGroup) -> None:
        room = AT_ONCE - len(self._under_way)
        but_not = self._under_way | self._skipped.job_nos  # read first, since it drops expired entries
        if room <= 0 or self._context.drain.is_drained:
            return
        found = await in_transaction(
            self._context.engine,
            lambda c: import_coordination.find_imports(c, self._served, limit=room, but_not=but_not),
        )
        for job_no, job_id in found:
            self._under_way.add(job_no)
            group.create_task(self._coordinate(job_no, job_id), name=f"coordination-{job_no}")

    async def _coordinate(self, job_no: int, job_id: str) -> None:
        """Coordinate an import unless another worker does.

        A failure affects only this import, which is then looked for again after a pause, as it is while another worker
        has its lock.
        """
        token = secrets.token_hex(8)
        try:
            if await self._lock(job_no, job_id, token):
                await self._coordinate_locked(job_no, token)
            else:
                await asyncio.sleep(RETRY_SECONDS)
        except UNAVAILABLE as error:
            self._context.log.warning("coordination_delayed", job_id=job_id, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # its lease runs out and counts as lost
            self._context.log.exception("coordination_failed", job_id=job_id)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._under_way.discard(job_no)
            self._wake.set()

    async def _lock(self, job_no: int, job_id: str, token: str) -> bool:
        """Take the lock; with an unavailable broker go on without it: the lease in PostgreSQL is enough."""
        try:
            return await locks.acquire(self._context.redis, job_no, token, self._context.lease_seconds)
        except BrokerError as error:
            self._context.log.warning("lock_unavailable", job_id=job_id, error=str(error))
            return True

    async def _coordinate_locked(self, job_no: int, token: str) -> None:
        try:
            begun = await in_transaction(self._context.engine, lambda c: self._begin(c, job_no))
            if isinstance(begun, Waiting):
                self._context.log.info(
                    "coordination_waits",
                    job_id=begun.job_id,
                    waits_for=begun.other_id,
                    record_type=begun.record_type,
                    until="ended" if begun.until_end else "planned",
                )
            elif begun is not None:
                await self._plan(begun, token)
        finally:
            with suppress(BrokerError):
                await locks.release(self._context.redis, job_no, token)

    async def _begin(self, connection: Connection, job_no: int) -> Coordination | Waiting | None:
        begun = await import_coordination.begin(
            connection,
            job_no,
            self._served,
            holder=secrets.randbits(63),
            worker_no=self._context.worker_no,
            lease_seconds=self._context.lease_seconds,
        )
        if isinstance(begun, Coordination):
            fenced = trigger_increments((source, "fenced") for source in begun.fenced_sources)
            await counters.add(connection, self._context.worker_no, fenced)
        return begun

    async def _plan(self, coordination: Coordination, token: str) -> None:
        self._context.log.info(
            "coordination_started", job_id=coordination.id, source=coordination.source, fence=coordination.fence
        )
        began = time.monotonic()
        lease = CoordinationLease(self._context, coordination, token)
        await lease.hold(self._planner.survey(coordination), partial(self._planner.write, coordination))
        self._context.histograms[COORDINATION_SECONDS].observe(time.monotonic() - began)
