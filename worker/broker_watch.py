"""Probing Redis: each worker tries every kind of write once a period, and polls PostgreSQL while a write is refused.

A readable stream may refuse writes: on a full server, on a replica or without the access right, XREADGROUP waits for
envelopes that never come.
"""

import asyncio
from collections.abc import Awaitable, Callable

from broker import health
from broker.envelopes import BrokerError
from broker.health import Fault
from worker.context import Context

LOOK_SECONDS = 0.5
"""The interval of polling PostgreSQL while Redis refuses writes, unless the period is shorter."""


class BrokerWatch:
    """Probes for a worker. `look` looks at all waiting work in PostgreSQL."""

    def __init__(self, context: Context, look: Callable[[], Awaitable[None]]) -> None:
        self._context = context
        self._look = look
        self._fault: Fault | None = None

    async def run(self) -> None:
        """Probe the broker until cancelled. A fault is found within two periods, whether Redis refuses or is silent."""
        period = self._context.reconcile_seconds
        while True:
            self._note(await self._probe(period))
            if self._fault is not None:
                await self._look()
            await asyncio.sleep(period if self._fault is None else min(period, LOOK_SECONDS))

    async def _probe(self, seconds: float) -> Fault | None:
        try:
            async with asyncio.timeout(seconds):
                await health.probe(self._context.redis)
        except (BrokerError, OSError) as error:
            return health.describe(error)
        return None

    def _note(self, fault: Fault | None) -> None:
        """Keep the result of a probe; log a change."""
        if fault is not None and fault != self._fault:
            self._context.log.warning("broker_not_writable", code=fault.code, detail=fault.detail)
        if fault is None and self._fault is not None:
            self._context.log.info("broker_writable")
        self._fault = fault
