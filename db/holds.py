"""Holds: what keeps the open work of a job from being started, for each provider in a region."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.engine import Engine, connect, statement


@dataclass(frozen=True, slots=True)
class PoolHold:
    """What holds a provider in a region, if anything: a pause of either, or an open circuit breaker.

    The times are since when. `gate_until` is when a call probes it.
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
    """Return what holds each pool that the job has open work for.

    `named` are the (provider, region) that its spec names, for a job that isn't planned yet; else nothing.
    """
    providers, regions = [provider for provider, _ in named], [region for _, region in named]
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("find_holds"), job_no, providers, regions)
    return [PoolHold(**row) for row in rows]
