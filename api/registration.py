"""This API process in the register of processes: its number shards the tallies it writes."""

import asyncio
import os
import secrets
import socket
from contextlib import suppress

from db import workers
from db.engine import GONE, QUICK_SECONDS, Connection, Engine, in_transaction
from db.failures import describe_failure
from runtime.databases import Reminder


class Registration:
    """Enters the process when its number is first needed, so that it starts while the database is away."""

    def __init__(self, engine: Engine, heartbeat_seconds: float, reminder: Reminder) -> None:
        self._engine = engine
        self._heartbeat_seconds = heartbeat_seconds
        self._reminder = reminder
        self._id = f"api-{secrets.token_hex(6)}"
        self._worker_no: int | None = None
        self._one_at_a_time = asyncio.Lock()

    async def worker_no(self) -> int:
        """Return the number of this process."""
        async with self._one_at_a_time:
            if self._worker_no is None:
                self._worker_no = (await in_transaction(self._engine, self._register, seconds=QUICK_SECONDS)).worker_no
            return self._worker_no

    async def beat(self) -> None:
        """Write a heartbeat every `heartbeat_seconds`, until cancelled; log it while the database is away."""
        while True:
            try:
                await in_transaction(self._engine, self._beat, seconds=QUICK_SECONDS)
            except GONE as error:
                self._reminder.warn(describe_failure(error).reason)
            else:
                self._reminder.reset()
            await asyncio.sleep(self._heartbeat_seconds)

    async def stop(self) -> None:
        """Say that the process ended in order."""
        if self._worker_no is not None:
            with suppress(*GONE):
                await in_transaction(self._engine, self._stop, seconds=QUICK_SECONDS)

    async def _register(self, connection: Connection) -> workers.Registered:
        return await workers.register(
            connection, worker_id=self._id, role="api", pid=os.getpid(), host=socket.gethostname()
        )

    async def _beat(self, connection: Connection) -> None:
        if self._worker_no is not None and not await workers.beat(connection, self._worker_no, running=0, metrics={}):
            await workers.start_over(connection, self._worker_no)

    async def _stop(self, connection: Connection) -> None:
        if self._worker_no is not None:
            await workers.stop(connection, self._worker_no, metrics={})
