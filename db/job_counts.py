"""A tenant's jobs, counted by what they need."""

from dataclasses import dataclass

from db.engine import Connection, Engine, in_transaction, statement
from db.reading import INDEX_ORDER

COUNTED = 10_000
"""Where each count stops."""
ENDED_WITHIN_HOURS = 24


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Jobs by state: those that are open, those with unknown cells, and those that ended within ENDED_WITHIN_HOURS."""

    queued: int
    coordinating: int
    running: int
    with_unknown: int
    completed: int
    partial: int
    failed: int
    cancelled: int


async def count_jobs(engine: Engine, tenant_no: int) -> JobCounts:
    """Count a tenant's jobs; each count stops at COUNTED, and those that ended are counted among the newest COUNTED."""

    async def count(connection: Connection) -> JobCounts:
        await connection.execute(INDEX_ORDER)
        [row] = await connection.fetch(statement("count_jobs_of_tenant"), tenant_no, COUNTED, ENDED_WITHIN_HOURS)
        return JobCounts(**row)

    return await in_transaction(engine, count)
