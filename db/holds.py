"""Holds: pauses and circuit breakers that keep a job's open work from starting, by provider and region."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.engine import Engine, connect, statement


@dataclass(frozen=True, slots=True)
class PoolHold:
    """The holds of a provider in a region, if any: a pause of either, or an open circuit breaker.

    The times are the beginnings of the holds; `gate_until` is when a call probes the circuit breaker.
    """

    provider: str
    region: str
    region_paused_at: datetime | None
    region_paused_by: str | None
    region_reason: str | None
    provider_paused_at: datetime | None
    provider_paused_by: str | None
    provider_reason: str | None
    gate_closed_at: datetime | None
    gate_until: datetime | None
    gate_code: str | None


async def read_holds(engine: Engine, job_no: int, named: Sequence[tuple[str, str]]) -> Sequence[PoolHold]:
    """Return the holds of each pool that has open work of the job.

    `named` are the pairs (provider, region) of the spec of a job that isn't planned yet; else empty.
    """
    providers, regions = [provider for provider, _ in named], [region for _, region in named]
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("find_holds"), job_no, providers, regions)
    return [PoolHold(**row) for row in rows]
