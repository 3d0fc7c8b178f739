"""Watching the leases in hand: work that was cancelled or taken away stops soon, whoever did it."""

import asyncio
from contextlib import suppress

from db import batches
from db.engine import GONE, connect
from worker.context import Context
from worker.executor import Executor

LOOK_SECONDS = 2.0


class Watch:
    """Looks at least every two seconds, and at once when told to."""

    def __init__(self, context: Context, executor: Executor) -> None:
        self._context = context
        self._executor = executor
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Say that leases may have been taken away."""
        self._told.set()

    async def run(self) -> None:
        """Look until cancelled. A database that is away is the heartbeat's to report."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._told.wait()
            self._told.clear()
            with suppress(*GONE):
                await self._look()

    async def _look(self) -> None:
        in_hand = [run.batch for run in self._executor.held.values() if run.counts_calls]
        if not in_hand:
            return
        async with connect(self._context.engine) as connection:
            held = await batches.still_held(connection, in_hand)
        for batch in in_hand:
            if batch.key[:3] not in held:
                self._executor.lose(batch)
