"""Owed work: finding due work whose envelope was lost, and offering batches whose lease ran out, in bounded pages.

Only the leader runs these, in `db.leadership.as_leader`.
"""

from db.engine import Connection, statement

PAGE = 500


async def offer_expired_batches(connection: Connection) -> list[tuple[int, int]]:
    """Make batches whose lease ran out ready for any worker; return (job_no, batch_no) of those that weren't.

    The holder keeps its lease until another worker claims: an answer that was paid for may still be written.
    """
    rows = await connection.fetch(statement("offer_expired_batches"), PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def offer_stranded_batches(connection: Connection) -> list[tuple[int, int]]:
    """Make batches ready that no end of another batch will release; return (job_no, batch_no) of each."""
    rows = await connection.fetch(statement("offer_stranded_batches"), PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def find_owed_work(connection: Connection, *, min_seconds: float) -> list[tuple[int, int | None]]:
    """Return (job_no, None) of queued jobs and (job_no, batch_no) of due batches, longest owed first, one page.

    Only work that has been owed for at least `min_seconds`.
    """
    rows = await connection.fetch(statement("find_owed_work"), min_seconds, PAGE)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def purge_idempotency_keys(connection: Connection, *, hours: float) -> int:
    """Delete a page of keys older than `hours`; return how many."""
    status = await connection.execute(statement("purge_idempotency_keys"), hours, PAGE)
    return int(status.rpartition(" ")[2])
