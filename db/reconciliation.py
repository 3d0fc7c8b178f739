"""What is owed: work that nobody was told of, and leases that ran out. Read and repaired in bounded pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.engine import IDLE_SECONDS, Connection, Engine, connect, statement

LEADER_LOCK = 0x7265636F6E  # "recon": one reconciler at a time per database
PAGE = 500


@asynccontextmanager
async def leadership(engine: Engine) -> AsyncIterator["Connection | None"]:
    """Lend a connection to the one leader; None to everybody else. The lock ends with the connection or the block."""
    async with connect(engine) as connection:
        # A leader that stands still holds no transaction open, so the server asks this of its session for now.
        await connection.execute(f"SET idle_session_timeout = '{IDLE_SECONDS}s'")
        is_leader = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK)
        try:
            yield connection if is_leader else None
        finally:
            if not connection.is_closed():
                await connection.execute("RESET idle_session_timeout")
            if is_leader and not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", LEADER_LOCK)


async def ready_expired_batches(connection: Connection) -> list[tuple[int, int]]:
    """Make batches whose lease ran out ready for whoever comes; return (job_no, batch_no) of those newly made so.

    The lease stays the holder's until somebody claims: an answer that was paid for may still be written.
    """
    rows = await connection.fetch(statement("ready_expired_batches"), PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def ready_stranded_batches(connection: Connection) -> list[tuple[int, int]]:
    """Make batches ready that no other batch of their job will release; return (job_no, batch_no) of each."""
    rows = await connection.fetch(statement("ready_stranded_batches"), PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def find_owed(connection: Connection, *, min_seconds: float) -> list[tuple[int, int | None]]:
    """Return (job_no, None) of queued jobs and (job_no, batch_no) of due batches, longest owed first, one page.

    Only what has been owed for at least `min_seconds`.
    """
    rows = await connection.fetch(statement("find_owed"), min_seconds, PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def purge_idempotency_keys(connection: Connection, *, hours: float) -> int:
    """Delete a page of keys older than `hours`; return how many."""
    status = await connection.execute(statement("purge_idempotency_keys"), hours, PAGE)
    return int(status.rpartition(" ")[2])
