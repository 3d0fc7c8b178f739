"""Jobs to act on, and the actions as a process of the API would take them, each in a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from db import cancelling, cell_retrying, dead_letters, releasing, resolving, retrying, workers
from db.batches import ClaimedBatch
from db.call_starts import mark_started
from db.cancelling import Cancelled
from db.controls import Actor
from db.engine import Connection, Engine, connect, create_engine, in_transaction
from db.kinds import Retried, RetryFilter
from db.releasing import Released
from db.resolving import Resolution, Resolved
from db.results import BatchReport, EndedCell
from db.tenants import DEFAULT_TENANT_NO
from domain.calls import Cell
from tests.support.job_seeds import Seeds, times
from tests.support.waiting import eventually_async

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
            lambda c: cell_retrying.retry_execution(c, DEFAULT_TENANT_NO, execution_id, self._actor(reason))
        )

    async def resolve(
        self, execution_id: str, status: str, output: str | None = None, *, reason: str | None = None
    ) -> Resolved:
        found = Resolution(status, output)
        return await self._run(
            lambda c: resolving.resolve(c, DEFAULT_TENANT_NO, execution_id, found, self._actor(reason))
        )

    async def replay(self, dead_letter_no: int) -> Retried:
        return await self._run(lambda c: dead_letters.replay(c, dead_letter_no, self._actor(None)))

    async def release(self, job_id: str, batch_no: int, *, reason: str | None = None) -> Released:
        return await self._run(lambda c: releasing.release(c, DEFAULT_TENANT_NO, job_id, batch_no, self._actor(reason)))

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
    """Wait until a session waits for a lock; fails with what the task raised if it ended instead."""

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


async def end_unknown(seeds: Seeds, batch: ClaimedBatch, *, provider: str = "echo") -> None:
    """Start every cell of a batch and record no outcome, as under `delivery: at_most_once`."""
    unknown = _ended(batch, "timeout", status="unknown", retryable=False, provider=provider)
    marked = [(batch, Cell(*cell[:4])) for cell in unknown.ended]
    await in_transaction(seeds.engine, lambda connection: mark_started(connection, marked))
    await seeds.record(unknown)


def exhausted(batch: ClaimedBatch) -> BatchReport:
    """The last failure that the policy allows, of every cell of a batch: each becomes a dead letter."""
    return _ended(batch, "busy", status="failed", retryable=True)


def _ended(batch: ClaimedBatch, code: str, *, status: str, retryable: bool, provider: str = "echo") -> BatchReport:
    cells = zip(batch.model_nos, batch.question_nos, batch.attempts, strict=True)
    ended = [
        EndedCell(
            *(batch.job_no, batch.region_no, model_no, question_no, *times(batch), provider, None, code, "Why."),
            error_retryable=retryable,
            status=status,
            attempts_before=attempts,
        )
        for model_no, question_no, attempts in cells
    ]
    return BatchReport(batch, is_released=True, ended=ended)
