"""Reading pools: a provider's limit in a region, its calls in flight, and its circuit breaker."""

from dataclasses import dataclass
from datetime import datetime

from db.engine import Connection, statement


@dataclass(frozen=True, slots=True)
class PoolRead:
    """A provider in a region. Without `max_concurrent` only the workers bound it.

    Its circuit breaker is open where it has a `gate_code`.
    """

    provider: str
    region: str
    max_concurrent: int | None
    in_flight: int
    gate_code: str | None
    gate_detail: str | None
    gate_until: datetime | None
    gate_times: int | None


async def read_pools(connection: Connection) -> dict[tuple[str, str], PoolRead]:
    """Return the pools with a limit, calls in flight or an open circuit breaker, by (provider, region)."""
    rows = await connection.fetch(statement("list_pools"))
    return {(row["provider"], row["region"]): PoolRead(**row) for row in rows}
