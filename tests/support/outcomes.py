"""What became of jobs: waits for their end, counts of states, and the audit in SQL."""

from collections import Counter
from pathlib import Path
from typing import Any

from broker import envelopes
from db import counters
from db.engine import Connection
from tests.support.connections import broker_client
from tests.support.waiting import eventually_async

AUDIT = Path(__file__).with_name("audit.sql")


async def all_ended(connection: Connection, *, seconds: float = 30) -> None:
    """Wait until every job is terminal."""

    async def look() -> bool:
        return await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == 0

    try:
        await eventually_async(look, seconds=seconds, what="every job ended")
    except AssertionError:
        raise AssertionError(f"after {seconds} s still open: {await _open(connection)}") from None


async def stream_is_empty(redis_url: str, *, seconds: float = 10) -> None:
    """Wait until every envelope is acknowledged."""
    async with broker_client(redis_url) as client:

        async def look() -> bool:
            return (await envelopes.look(client)).depth == 0

        await eventually_async(look, seconds=seconds, what="every envelope acknowledged")


async def _open(connection: Connection) -> dict[str, Any]:
    return {
        table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table} WHERE {condition} LIMIT 3")]
        for table, condition in (
            ("jobs", "finished_at IS NULL"),
            ("batches", "finished_at IS NULL"),
            ("ready", "true"),
        )
    }


async def statuses(connection: Connection) -> Counter[str]:
    """How many jobs are in each state."""
    rows = await connection.fetch("SELECT status FROM jobs")
    return Counter(row["status"] for row in rows)


async def attempts(connection: Connection) -> Counter[tuple[str, int]]:
    """How many cells are in each (state, attempts)."""
    rows = await connection.fetch("SELECT status, attempts FROM executions")
    return Counter((row["status"], row["attempts"]) for row in rows)


async def counter_total(connection: Connection, series: str, **labels: str) -> float:
    """What the fleet counted of a series, over all labels that aren't given."""
    totals = await counters.totals(connection)
    return sum(value for name, found, value in totals if name == series and labels.items() <= found.items())


async def find_violations(connection: Connection) -> list[tuple[str, int, str]]:
    """Recount everything by SQL; return (rule, job_no, what) of whatever breaks one."""
    rows = await connection.fetch(AUDIT.read_text())
    return [(row["rule"], row["job_no"], row["what"]) for row in rows]


async def assert_audit(connection: Connection) -> None:
    """Fail unless every job holds what it planned, once, and every kept count equals its recount."""
    found = await find_violations(connection)
    assert not found, (len(found), found[:20])
