"""The queue in PostgreSQL: waiting, running and stuck work, without the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.engine import Connection, statement
from db.reading import in_index_order

SHOWN_STUCK = 50


@dataclass(frozen=True, slots=True)
class QueueRead:
    """Counts over all tenants. Waiting batches become due at their time; owed work could be claimed now."""

    jobs_queued: int
    batches_due: int
    batches_waiting: int
    batches_running: int
    leases_expired: int
    oldest_owed_seconds: float | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class StuckWork:
    """A job or batch that waits too long, and the reasons that may keep it from being claimed.

    `finding` is job_owed, batch_owed, lease_expired, coordination_expired or coordination_put_off (of an import: until
    `due_at`, for the error). It `is_unconfigured` if it was accepted under an identity that isn't configured any more.
    `…_calls` are in flight, `…_limit` as many as may be (None: no such limit).
    """

    job_no: int
    tenant: str
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


async def list_stuck(connection: Connection, *, min_seconds: float, limit: int = SHOWN_STUCK) -> Sequence[StuckWork]:
    """Return up to `limit` jobs and batches of all tenants that wait for `min_seconds` or whose lease ran out.

    Longest first; work that is paused, or held for another configuration, last. It looks only at the next SHOWN_STUCK
    of each finding, and of batches for each provider and region.
    """

    async def find(connection: Connection) -> Sequence[Any]:
        return await connection.fetch(statement("list_stuck"), min_seconds, SHOWN_STUCK, limit)

    rows = await in_index_order(connection, find)
    return [StuckWork(**row) for row in rows]
