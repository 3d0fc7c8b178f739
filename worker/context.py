"""The context that a worker's background services share: stores, name, periods and configuration."""

from dataclasses import dataclass, field

import structlog

from broker.envelopes import Client
from db.engine import Engine
from runtime.histograms import Histograms
from sources.source_cache import OpenIdentity
from worker.configuration import Served
from worker.drain import Drain
from worker.providers.configured import Serving
from worker.providers.protocol import Provider


@dataclass(frozen=True, slots=True)
class Context:
    """A worker's context.

    `engine` waits for the disk on commit, `claims` doesn't; `heartbeats` is for heartbeats only, so that they always
    get a connection. `served` follows the configuration in force. `open_source` opens the source of an import.
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
    served: Served
    open_source: OpenIdentity
    log: structlog.stdlib.BoundLogger
    histograms: Histograms = field(default_factory=Histograms)
    drain: Drain = field(default_factory=Drain)

    @property
    def serving(self) -> Serving:
        """The configuration that it serves now; it may change between two reads."""
        return self.served.now

    def provider_of(self, identity_no: int | None) -> Provider | None:
        """Return the provider of an identity; None if this worker never served it."""
        return None if identity_no is None else self.served.providers.get(identity_no)
