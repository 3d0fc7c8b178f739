"""Jobs to act on, and the actions as a process of the API would take them, each in a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from db import cancelling, retrying, workers
from db.cancelling import Cancelled
from db.controls import Actor
from db.engine import Connection, Engine, connect, create_engine, in_transaction
from db.retrying import Retried, RetryFilter
from db.tenants import DEFAULT_TENANT_NO
from tests.seeding import Seeds
from tests.waiting import eventually_async

T = TypeVar("T")
WHO = "api:192.0.2.7"


@dataclass
class Controls:
    """A person at an API. `repeated` counts the units that a conflict made it repeat."""

    engine: Engine
    worker_no: int
    repeated: int = 0

    async def cancel(self, job_id: str, *, reason: str | None = None) -> Cancelled:
        return await self._run(lambda c: cancelling.cancel(c, DEFAULT_TENANT_NO, job_id, self._actor(reason)))

    async def retry(self, job_id: str, *, reason: str | None = None, **wanted: str) -> Retried:
        return await self._run(
            lambda c: retrying.retry_job(c, DEFAULT_TENANT_NO, job_id, RetryFilter(**wanted), self._actor(reason))
        )

    async def retry_execution(self, execution_id: str, *, reason: str | None = None) -> Retried:
        return await self._run(
            lambda c: retrying.retry_execution(c, DEFAULT_TENANT_NO, execution_id, self._actor(reason))
        )

    async def _run(self, unit: Callable[[Connection], Awaitable[T]]) -> T:
        tries = 0

        async def counted(connection: Connection) -> T:
            nonlocal tries
            tries += 1
            return await unit(connection)

        done = await in_transaction(self.engine, counted)
        self.repeated += tries - 1
        return done

    def _actor(self, reason: str | None) -> Actor:
        return Actor(WHO, reason, self.worker_no)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=12)
    yield engine
    await engine.dispose()


@pytest.fixture
async def seeds(engine: Engine) -> Seeds:
    """Jobs that a worker moves on; batches of two cells."""
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="w-seeds", role="worker", pid=1, host="here")
    return Seeds(engine, registered.worker_no, batch_cells=2)


@pytest.fixture
async def controls(engine: Engine) -> Controls:
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="api-controls", role="api", pid=1, host="here")
    return Controls(engine, registered.worker_no)


async def waits_for_a_lock(connection: Connection, waiting: "asyncio.Task[Any]") -> None:
    """Wait until somebody waits for a lock; fails with what the task raised if it ended instead."""

    async def look() -> bool:
        if waiting.done():
            await waiting
            raise AssertionError("it waited for nobody")
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await eventually_async(look, what="somebody waits for a lock")


async def events(connection: Connection, job_no: int) -> list[tuple[str, dict[str, Any]]]:
    """The (type, data) of a job's events, oldest first."""
    rows = await connection.fetch("SELECT type, data FROM events WHERE job_no = $1 ORDER BY event_no", job_no)
    return [(row["type"], row["data"]) for row in rows]
