"""The state of the fleet for a scrape: counters, histograms and gauges of PostgreSQL and Redis, each if it answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from api import broker_state, gauges
from api.exposition import Fleet
from api.gauges import Gauge
from api.shared_looks import SharedLook
from api.stuck import explain
from broker.envelopes import Client
from db import counters, queue, workers
from db.audit import MUST_BE_ZERO, audit_recent
from db.configurations import read_current
from db.dead_letters import count_dead_letters
from db.engine import UNAVAILABLE, Connection, Engine, connect
from db.gauges import measure_due, measure_work
from db.leadership import RECONCILING, read_leader
from db.pauses import read_pauses
from db.provider_pools import read_pools
from db.reading import in_index_order
from domain.status import TERMINAL_EXECUTION_STATUSES
from runtime.histograms import Histograms
from runtime.metrics import (
    BROKER_WRITABLE,
    BUILD_INFO,
    DEAD_LETTERS,
    EXECUTIONS,
    GATE_CLOSED,
    INVARIANT_VIOLATIONS,
    LEADER_IDLE,
    REPEATS,
    STORE_AVAILABLE,
)
from runtime.settings import Settings

log = structlog.stdlib.get_logger()

AUDIT_SECONDS = 10.0
"""How long a recount of recent jobs is reused, so that frequent scrapes stay cheap."""
DEADLINE_SECONDS = 5.0
COUNTED_STUCK = 10_000


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The measures in PostgreSQL: counters as (series, labels, value), each process's histograms, and gauges."""

    counters: Sequence[tuple[str, Mapping[str, str], float]]
    snapshots: Sequence[Mapping[str, Any]]
    gauges: Sequence[Gauge]


class Recount(NamedTuple):
    """The violations of each invariant, and when they were counted, by the monotonic clock."""

    violations: Mapping[str, int]
    at: float

    @property
    def age_seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self.at


class FleetView:
    """Reads the state of the fleet for scrapes; keeps the last recount for a while."""

    def __init__(self, engine: Engine, broker: Client, settings: Settings, *, version: str) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._version = version
        self._last_recount: Recount | None = None
        self._recounting = asyncio.Lock()
        self._shared = SharedLook(self._look)

    async def look(self) -> Fleet:
        """Read the series of all tenants, without those of an unavailable store; scrapes at the same time share it."""
        return (await self._shared()).found

    async def _look(self) -> Fleet:
        stream, broker, ledger, recount = await asyncio.gather(
            broker_state.look(self._broker),
            broker_state.check(self._broker),
            self._read(),
            self.recount(),
        )
        shown = [
            (BUILD_INFO, {"version": self._version}, 1.0),
            (STORE_AVAILABLE, {"store": "postgresql"}, float(ledger is not None)),
            (STORE_AVAILABLE, {"store": "redis"}, float(stream is not None)),
            *(ledger.gauges if ledger else ()),
            *(gauges.of_stream(stream) if stream else ()),
            (BROKER_WRITABLE, {}, float(broker.fault is None)),
            *(
                (INVARIANT_VIOLATIONS, {"invariant": name}, count)
                for name, count in (recount.violations if recount else {}).items()
            ),
        ]
        if ledger is None:
            return Fleet(counters=None, gauges=shown, histograms=None)
        histograms = Histograms()
        repeats: Counter[str] = Counter()
        for snapshot in ledger.snapshots:
            histograms.add(snapshot)
            repeats.update(snapshot.get(workers.REPEATS, {}))
        repeated = [(REPEATS.name, {"reason": conflict}, count) for conflict, count in repeats.items()]
        counted = [*_unmoved(ledger.gauges), *ledger.counters, *repeated]
        return Fleet(counters=counted, gauges=shown, histograms=histograms)

    async def _read(self) -> _Ledger | None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), connect(self._engine) as connection:
                return _Ledger(
                    counters=await counters.totals(connection),
                    snapshots=await workers.snapshots(connection),
                    gauges=await self._measure(connection),
                )
        except UNAVAILABLE as error:
            log.warning("scrape_incomplete", error=f"{type(error).__name__}: {error}")
            return None

    async def _measure(self, connection: Connection) -> list[Gauge]:
        settings = self._settings
        live = await workers.live(connection, silent_seconds=settings.lease_seconds)
        apis = await workers.live(connection, silent_seconds=settings.lease_seconds, role="api")
        current = await read_current(connection)
        stuck = await queue.list_stuck(connection, min_seconds=2 * settings.reconcile_seconds, limit=COUNTED_STUCK)

        async def measure(connection: Connection) -> list[Gauge]:
            return [
                *gauges.of_work(await measure_work(connection)),
                *gauges.of_pools((await read_pools(connection)).values(), await measure_due(connection)),
                *gauges.of_pauses(await read_pauses(connection)),
                (DEAD_LETTERS, {}, await count_dead_letters(connection)),
            ]

        leader = await read_leader(connection, RECONCILING)
        return [
            *gauges.of_workers(live),
            *gauges.of_configuration(current, {"worker": live, "api": apis}),
            *([(LEADER_IDLE, {}, leader.idle_seconds)] if leader else []),
            *gauges.of_stuck(explain(job, live, settings).reason for job in stuck),
            *await in_index_order(connection, measure),
        ]

    async def recount(self) -> Recount | None:
        """Return the violations of each invariant among recent jobs, counted at most AUDIT_SECONDS ago."""
        async with self._recounting:
            last = self._last_recount
            if last is None or last.age_seconds > AUDIT_SECONDS:
                violations = await self._audit()
                last = None if violations is None else Recount(violations, time.monotonic())
                self._last_recount = last
            return last

    async def _audit(self) -> Mapping[str, int] | None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                audits = await audit_recent(self._engine, None)
        except UNAVAILABLE as error:
            log.warning("scrape_incomplete", error=f"{type(error).__name__}: {error}")
            return None
        found: Counter[str] = Counter(dict.fromkeys(MUST_BE_ZERO, 0))
        for audit in audits:
            found.update({name: getattr(audit, name) for name in MUST_BE_ZERO})
        if broken := {name: count for name, count in found.items() if count}:
            log.error("invariant_violated", **broken)
        return found


def _unmoved(shown: Sequence[Gauge]) -> list[tuple[str, Mapping[str, str], float]]:
    """Return a counter at 0 for each end that a provider's cells can have in a region: see `Series.zeros`."""
    pools = [labels for series, labels, _ in shown if series is GATE_CLOSED and labels["region"]]
    ends = sorted(TERMINAL_EXECUTION_STATUSES)
    return [(EXECUTIONS.name, {**labels, "status": status}, 0.0) for labels in pools for status in ends]
