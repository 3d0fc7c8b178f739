"""Leading: one worker at a time does what must be done once, under a lease and a fence that its every write names.

The lease is a row, not a lock of the session: a session outlives its client behind a pooler, and a lock with it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from db.engine import Connection, Engine, Result, in_transaction, statement

RECONCILING = "reconciling"


@dataclass(frozen=True, slots=True)
class Leadership:
    """A worker's right to do a duty, as long as no other worker took it with a higher fence."""

    duty: str
    fence: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class LeaderRead:
    """Who led last (None: its entry is gone) and when it last began a transaction as the leader."""

    worker: str | None
    fence: int
    worked_at: datetime
    is_leading: bool
    idle_seconds: float


async def lead(engine: Engine, duty: str, worker_no: int, *, lease_seconds: float) -> Leadership | None:
    """Lead, or go on leading; None while another worker does. Waits for nobody."""

    async def take(connection: Connection) -> int | None:
        fence: int | None = await connection.fetchval(statement("take_leadership"), duty, worker_no, lease_seconds)
        return fence

    fence = await in_transaction(engine, take)
    return None if fence is None else Leadership(duty, fence, lease_seconds)


async def as_leader(
    engine: Engine, leadership: Leadership, unit: Callable[[Connection], Awaitable[Result]]
) -> Result | None:
    """Run `unit` as `in_transaction` does, while nobody else can lead; None, and nothing done, once another one did.

    `unit` must not return None. It renews the lease.
    """

    async def fenced(connection: Connection) -> Result | None:
        one = leadership
        holds = await connection.fetchval(statement("hold_leadership"), one.duty, one.fence, one.lease_seconds)
        return await unit(connection) if holds else None

    return await in_transaction(engine, fenced)


async def release(connection: Connection, worker_no: int) -> None:
    """Let another worker lead at once what this one led. Runs in the caller's transaction."""
    await connection.execute(statement("release_leadership"), worker_no)


async def read_leader(connection: Connection, duty: str) -> LeaderRead | None:
    """Return who led last, or None if nobody ever did."""
    row = await connection.fetchrow(statement("read_leader"), duty)
    return LeaderRead(**row) if row else None
