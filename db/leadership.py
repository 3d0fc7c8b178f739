"""Leadership: one worker at a time runs a leader-only service, under a lease and a fence that its writes name.

The lease is a row, not a lock of the session: a session outlives its client behind a pooler, and a lock with it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from db.engine import Connection, Engine, Result, in_transaction, statement

RECONCILING = "reconciling"


@dataclass(frozen=True, slots=True)
class Leadership:
    """A worker's lease on a leader-only service, until another worker takes it with a higher fence."""

    service: str
    fence: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class LeaderRead:
    """The worker that led last (None: its entry is deleted), and when it last began a transaction as the leader."""

    worker: str | None
    fence: int
    worked_at: datetime
    is_leading: bool
    idle_seconds: float


async def lead(engine: Engine, service: str, worker_no: int, *, lease_seconds: float) -> Leadership | None:
    """Take or renew the lease; return None while another worker leads. Never waits for a lock."""

    async def take(connection: Connection) -> int | None:
        fence: int | None = await connection.fetchval(statement("take_leadership"), service, worker_no, lease_seconds)
        return fence

    fence = await in_transaction(engine, take)
    return None if fence is None else Leadership(service, fence, lease_seconds)


async def as_leader(
    engine: Engine, leadership: Leadership, unit: Callable[[Connection], Awaitable[Result]]
) -> Result | None:
    """Run `unit` as `in_transaction` does, while no other worker can lead; None, unchanged, once another has led.

    `unit` must not return None. It renews the lease.
    """

    async def fenced(connection: Connection) -> Result | None:
        lease = (leadership.service, leadership.fence, leadership.lease_seconds)
        holds = await connection.fetchval(statement("renew_leadership"), *lease)
        return await unit(connection) if holds else None

    return await in_transaction(engine, fenced)


async def release(connection: Connection, worker_no: int) -> None:
    """Release this worker's leaderships, so that another worker leads at once. Runs in the caller's transaction."""
    await connection.execute(statement("release_leadership"), worker_no)


async def read_leader(connection: Connection, service: str) -> LeaderRead | None:
    """Return the worker that led last, or None if no worker ever led."""
    row = await connection.fetchrow(statement("read_leader"), service)
    return LeaderRead(**row) if row else None
