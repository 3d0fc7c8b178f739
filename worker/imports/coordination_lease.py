"""A worker's lease on the coordination of an import, renewed by a heartbeat of its own while sources are counted.

The lock in Redis only saves other workers the work; the fence, checked in the writing transaction, decides.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from broker import locks
from broker.envelopes import BrokerError
from db import counters, import_coordination
from db.counters import increment
from db.engine import UNAVAILABLE, Connection, in_transaction
from db.import_coordination import Coordination
from runtime.metrics import DUPLICATES_PREVENTED
from worker.context import Context
from worker.trigger_counters import trigger_increments

LEAVE_SECONDS = 1.0
Found = TypeVar("Found")


class Fenced(Exception):
    """Another worker has the lease, or the job ended; no write is allowed."""


class CoordinationLease:
    """Holds the lease of `coordination`, and the lock with its `token`."""

    def __init__(self, context: Context, coordination: Coordination, token: str) -> None:
        self._context = context
        self._coordination = coordination
        self._token = token
        self._is_written = False

    async def hold(self, survey: Awaitable[Found], write: Callable[[Found], Awaitable[None]]) -> None:
        """Await `survey`, then `write` what it found, while renewing lease and lock.

        Losing the lease ends the survey. The writing finds out by itself whether it came too late, and raises Fenced
        then; this is counted. It also ends the lease, with its commit. If cancelled, it releases the lease, so that
        another worker can begin at once.
        """

        async def work() -> None:
            found = await survey
            self._is_written = True
            await write(found)

        try:
            await self._renewed_while(work())
        except asyncio.CancelledError:
            await self._release()
            raise

    async def _renewed_while(self, work: Awaitable[None]) -> None:
        is_fenced = False
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                await work
                renewing.cancel()
        except* Fenced:
            is_fenced = True
        if is_fenced:  # outside the task group, which would wrap the errors of an unavailable store
            await self._count_fenced()

    async def _renew(self) -> None:
        """Renew the lease and the lock at every heartbeat; raise Fenced if the lease is lost during the survey."""
        coordination, lease_seconds = self._coordination, self._context.lease_seconds
        while True:
            await asyncio.sleep(self._context.heartbeat_seconds)
            try:
                renewed = await in_transaction(
                    self._context.engine, lambda c: import_coordination.renew(c, coordination, lease_seconds)
                )
                if not renewed and self._is_written:
                    return
                if not renewed:
                    raise Fenced
                await locks.renew(self._context.redis, coordination.job_no, self._token, lease_seconds)
            except (*UNAVAILABLE, BrokerError) as error:
                self._context.log.warning("coordination_beat_delayed", job_id=coordination.id, error=str(error))

    async def _count_fenced(self) -> None:
        """Count a coordination that another worker took over, but not that of a cancelled job."""

        async def unit(connection: Connection) -> bool:
            is_late = await import_coordination.was_taken_over(connection, self._coordination)
            if is_late:
                prevented = increment(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason="stale_fence")
                await counters.add(connection, self._context.worker_no, [prevented])
            return is_late

        fields = {"job_id": self._coordination.id, "fence": self._coordination.fence}
        if await in_transaction(self._context.engine, unit):
            self._context.log.warning("duplicate_prevented", layer="coordination", reason="stale_fence", **fields)
        else:
            self._context.log.info("coordination_stopped", **fields)

    async def _release(self) -> None:
        coordination = self._coordination

        async def unit(connection: Connection) -> None:
            outcomes = await import_coordination.reschedule(
                connection,
                coordination,
                tries=0,
                due_in_seconds=0,
                source=coordination.source,
                event={},
                outcome="fenced",
            )
            await counters.add(connection, self._context.worker_no, trigger_increments(outcomes or []))

        with suppress(*UNAVAILABLE, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await in_transaction(self._context.engine, unit)
