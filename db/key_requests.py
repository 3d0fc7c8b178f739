"""Requests of API keys, as processes take them in advance from a bucket that the fleet shares."""

from dataclasses import dataclass

from db.engine import Connection, statement


@dataclass(frozen=True, slots=True)
class Taken:
    """How many requests a bucket gave, how many are left in it, and the seconds until it gives another one."""

    requests: int
    left: int
    next_seconds: float


async def take_requests(connection: Connection, key_no: int, *, per_second: int, wanted: int) -> Taken:
    """Take up to `wanted` requests from a key's bucket, which holds and gains `per_second`. Waits for no disk."""
    row = await connection.fetchrow(statement("take_requests"), key_no, per_second, min(wanted, per_second))
    assert row is not None  # noqa: S101 - the statement always gives one row
    left = row["left_seconds"] * per_second
    return Taken(row["taken"], min(int(left), per_second), max(0.0, (1 - left) / per_second))
