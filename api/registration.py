"""This API process's entry in the register of processes, with its number, its kinds and its heartbeat.

The number shards its counters. The heartbeat also shows whether PostgreSQL commits, which reads don't need.
"""

import asyncio
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from api.bounded_connections import refused
from configuration.agreement import agree
from configuration.content import Configuration
from db import counters, kinds, workers
from db.connection_failures import describe_failure
from db.counters import Increment, increment
from db.engine import QUICK_SECONDS, UNAVAILABLE, Connection, Engine, in_transaction
from db.kinds import StoredKind
from db.schema import require_schema
from db.write_failures import NOT_WRITABLE, write_failure_reason
from runtime.configured_secrets import read_secrets
from runtime.databases import Reminder
from runtime.metrics import CONNECTIONS_REFUSED
from runtime.settings import Settings
from sources.configured import ConfiguredSources

RETRY_SECONDS = 1.0

log = structlog.stdlib.get_logger()


class Registration:
    """Enters the process when its number is first needed, so that it can start while the database is unavailable.

    It has an `engine` of its own, so that no request delays a heartbeat. It also enters the kinds that the process
    serves. `unwritten` is the reason why the last heartbeat wasn't committed; None if it, or a later transaction, was.
    """

    def __init__(
        self, engine: Engine, heartbeat_seconds: float, reminder: Reminder, stored: Sequence[StoredKind]
    ) -> None:
        self.unwritten: str | None = "Nothing was committed yet."
        self._committed_at = float("-inf")
        self._engine = engine
        self._heartbeat_seconds = heartbeat_seconds
        self._reminder = reminder
        self._kinds = stored
        self._id = f"api-{secrets.token_hex(6)}"
        self._worker_no: int | None = None
        self.standing = workers.UNKNOWN
        self._registering = asyncio.Lock()

    async def worker_no(self) -> int:
        """Return the number of this process."""
        async with self._registering:
            if self._worker_no is None:
                self._worker_no = (await in_transaction(self._engine, self._register, seconds=QUICK_SECONDS)).worker_no
            return self._worker_no

    async def beat(self) -> None:
        """Write a heartbeat every `heartbeat_seconds`, until cancelled; log while the database is unavailable."""
        while True:
            began = time.monotonic()
            unwritten = await self._beat_once()
            if unwritten is None or self._committed_at < began:
                self.unwritten = unwritten
            seconds = self._heartbeat_seconds
            await asyncio.sleep(min(RETRY_SECONDS, seconds) if self.unwritten else seconds)

    def note_commit(self) -> None:
        """Note a commit of another transaction: the result of a heartbeat that began earlier is outdated."""
        self._committed_at = time.monotonic()
        self.unwritten = None

    async def stop(self) -> None:
        """Record that the process ended in order."""
        if self._worker_no is not None:
            with suppress(*UNAVAILABLE):
                await in_transaction(self._engine, self._stop, seconds=QUICK_SECONDS)

    async def _beat_once(self) -> str | None:
        """Write a heartbeat; return the reason if it wasn't committed."""
        try:
            await self.worker_no()
            counted = Counter(refused)
            await in_transaction(self._engine, partial(self._beat, counted), seconds=QUICK_SECONDS)
            refused.subtract(counted)
        except UNAVAILABLE as error:
            reason = write_failure_reason(error)
            is_reached = isinstance(error, tuple(NOT_WRITABLE))
            if isinstance(error, TimeoutError) or not is_reached:  # which may mean unreachable
                self._reminder.warn(describe_failure(error).reason)
            if is_reached and reason != self.unwritten:
                log.warning("database_not_writable", detail=reason)
            return reason
        self._reminder.reset()
        return None

    async def _register(self, connection: Connection) -> workers.Registered:
        await require_schema(connection)
        await kinds.register(connection, self._kinds)
        return await workers.register(
            connection,
            worker_id=self._id,
            role="api",
            pid=os.getpid(),
            host=socket.gethostname(),
            standing=self.standing,
        )

    async def _beat(self, counted: Mapping[str, int], connection: Connection) -> None:
        await require_schema(connection)
        if self._worker_no is None:
            return
        if not await workers.beat(connection, self._worker_no, running=0, metrics={}, standing=self.standing):
            await workers.start_over(connection, self._worker_no)
        await counters.add(connection, self._worker_no, _increments(counted))

    async def _stop(self, connection: Connection) -> None:
        if self._worker_no is not None:
            await counters.add(connection, self._worker_no, _increments(refused))
            await workers.stop(connection, self._worker_no, metrics={})


def _increments(counted: Mapping[str, int]) -> Sequence[Increment]:
    return [increment(CONNECTIONS_REFUSED.name, count, reason=reason) for reason, count in counted.items() if count]


class ConfigurationStanding:
    """This process's standing towards the configuration in force, which its sources follow."""

    def __init__(self, settings: Settings, sources: ConfiguredSources) -> None:
        self._settings = settings
        self._sources = sources
        self._standing = workers.UNKNOWN

    def read(self, configuration: Configuration) -> workers.Standing:
        """Return the standing towards this configuration; log it for a new configuration."""
        if configuration.number != self._standing.configuration_no:
            secrets = read_secrets(configuration.content.file)
            self._sources.serve(configuration, secrets)
            # Only workers call providers: this process needs none of their keys.
            missing = {name: reason for name, reason in secrets.reasons.items() if name.startswith("connections.")}
            self._standing = agree(self._settings, configuration, missing)
        return self._standing
