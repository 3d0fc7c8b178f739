"""The gauges that a scrape reads from PostgreSQL, over all tenants, in bounded time."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.engine import Connection, statement

COUNTED = 100_000
"""The limit of counting. With 200,000 jobs queued, as many running and as many batches due, a scrape takes 30 ms
(2026-11-29, two cores)."""


@dataclass(frozen=True, slots=True)
class WorkMeasured:
    """Counts of open jobs and batches, and how long the oldest queued job has waited."""

    jobs_queued: int
    jobs_coordinating: int
    jobs_running: int
    oldest_queued_job_seconds: float
    batches_waiting: int
    batches_running: int
    leases_expired: int


@dataclass(frozen=True, slots=True)
class DueMeasured:
    """Due batches of a provider in a region, and how long the oldest of them has been due."""

    provider: str
    region: str
    batches: int
    oldest_seconds: float


async def measure_work(connection: Connection) -> WorkMeasured:
    """Return counts that stop at COUNTED. Expects to run within `in_index_order`."""
    [row] = await connection.fetch(statement("measure_work"), COUNTED)
    return WorkMeasured(**row)


async def measure_due(connection: Connection) -> Sequence[DueMeasured]:
    """Measure the COUNTED batches that became due first. Expects to run within `in_index_order`."""
    return [DueMeasured(**row) for row in await connection.fetch(statement("measure_due"), COUNTED)]
