"""The queue as PostgreSQL sees it: what waits, what runs, what is stuck. It sees no stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.engine import Connection, statement
from db.reading import in_index_order

SHOWN_STUCK = 50


@dataclass(frozen=True, slots=True)
class QueueRead:
    """Counts over all tenants. Batches that wait become due at their time; owed is what could be worked on now."""

    jobs_queued: int
    batches_due: int
    batches_waiting: int
    batches_running: int
    leases_expired: int
    oldest_owed_seconds: float | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class StuckWork:
    """A job or batch that waits too long, and what keeps it from being claimed.

    `finding` is job_owed, batch_owed, lease_expired, coordination_expired or coordination_put_off (of an import: until
    `due_at`, for the error). It `is_unconfigured` where it was accepted under what isn't configured now. `…_calls` are
    in flight, `…_limit` as many as may be (None: no such limit).
    """

    job_id: str
    batch_no: int | None
    finding: str
    seconds: float
    lost_leases: int
    provider: str | None
    region: str | None
    is_overdue: bool
    is_unconfigured: bool
    is_region_paused: bool
    is_provider_paused: bool
    error_code: str | None
    error_detail: str | None
    due_at: datetime | None
    gate_code: str | None
    gate_until: datetime | None
    pool_limit: int | None
    pool_calls: int
    job_limit: int | None
    job_calls: int


async def read_queue(connection: Connection) -> QueueRead:
    """Return the counts, of one moment."""
    [row] = await connection.fetch(statement("read_queue"))
    return QueueRead(**row)


async def list_stuck(
    connection: Connection, tenant_no: int, *, min_seconds: float, limit: int = SHOWN_STUCK
) -> Sequence[StuckWork]:
    """Return up to `limit` of the tenant's work that waits for at least `min_seconds` or whose lease ran out.

    Longest first; what is paused, or held for another configuration, last. Of each finding, and of batches for each
    provider and region, the SHOWN_STUCK that come next are looked at.
    """

    async def find(connection: Connection) -> Sequence[Any]:
        return await connection.fetch(statement("list_stuck"), min_seconds, SHOWN_STUCK, tenant_no, limit)

    rows = await in_index_order(connection, find)
    return [StuckWork(**row) for row in rows]
