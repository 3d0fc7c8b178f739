"""What every duty of a worker shares: its stores, its name, its clockwork and what it may serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from broker.envelopes import Client
from db.batches import PoolKey
from db.engine import Engine
from domain.plan import Pool
from runtime.metrics import Histograms
from sources.opened import OpenSource
from worker.providers.protocol import Provider


@dataclass(frozen=True, slots=True)
class Context:
    """A worker's surroundings.

    `engine` waits for the disk on commit, `claims` doesn't; `heartbeats` is for those alone, so that no work keeps them
    waiting for a connection.
    `pool_of` maps a model's provider name to who serves it. `limits` are the (provider, region) this worker serves
    whose provider makes calls, with how many the whole fleet may have in flight (None: no limit); `instant_pools` are
    the others. `open_source` opens what an import reads.
    """

    engine: Engine
    claims: Engine
    heartbeats: Engine
    redis: Client
    worker_no: int
    worker_id: str
    lease_seconds: float
    heartbeat_seconds: float
    reconcile_seconds: float
    shutdown_seconds: float
    idempotency_hours: float
    concurrency: int
    providers: Mapping[str, Provider]
    pool_of: Callable[[str], Pool]
    limits: Mapping[PoolKey, int | None]
    instant_pools: tuple[PoolKey, ...]
    open_source: OpenSource
    log: structlog.stdlib.BoundLogger
    histograms: Histograms = field(default_factory=Histograms)

    @property
    def pools(self) -> tuple[PoolKey, ...]:
        """Every (provider, region) this worker serves."""
        return (*self.instant_pools, *self.limits)
