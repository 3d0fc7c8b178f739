"""Requests of API keys and tenants, as processes take them in advance from a bucket that the fleet shares."""

from dataclasses import dataclass

from db.engine import Connection, statement
from domain.key_limits import Holder

_STATEMENTS = {Holder.KEY: "take_requests", Holder.TENANT: "take_requests_of_tenant"}


@dataclass(frozen=True, slots=True)
class Taken:
    """How many requests a bucket gave, how many are left in it, and the seconds until it gives another one."""

    requests: int
    left: int
    next_seconds: float


async def take_requests(
    connection: Connection, number: int, *, per_second: int, wanted: int, of: Holder = Holder.KEY
) -> Taken:
    """Take up to `wanted` requests from the bucket of the key or tenant with this number. Waits for no disk.

    It holds and gains `per_second`.
    """
    row = await connection.fetchrow(statement(_STATEMENTS[of]), number, per_second, min(wanted, per_second))
    assert row is not None  # noqa: S101 - the statement always gives one row
    left = row["left_seconds"] * per_second
    return Taken(row["taken"], min(int(left), per_second), max(0.0, (1 - left) / per_second))
