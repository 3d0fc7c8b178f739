"""What a scrape of the fleet finds: tallies, histograms and gauges of PostgreSQL and Redis, each if it answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from api import broker_state
from broker.envelopes import Client, StreamState
from db import tallies, workers
from db.audit import MUST_BE_ZERO, audit_recent
from db.dead_letters import count_dead_letters
from db.engine import GONE, Engine, connect
from db.reading import snapshot
from runtime.metrics import (
    BUILD_INFO,
    DEAD_LETTERS,
    INVARIANT_VIOLATIONS,
    QUEUE_DEPTH,
    QUEUE_OLDEST_AGE,
    REPEATS,
    WORKER_HEARTBEAT_AGE,
    Fleet,
    Histograms,
    Series,
)

log = structlog.stdlib.get_logger()

AUDIT_SECONDS = 10.0
"""How long a recount of recent jobs is shown: a scrape stays cheap however often it comes."""
PATIENCE_SECONDS = 5.0

Gauge = tuple[Series, Mapping[str, str], float]


class FleetView:
    """Looks at the fleet for scrapes; keeps the last recount for a while."""

    def __init__(self, engine: Engine, broker: Client, *, tenant_no: int, silent_seconds: float, version: str) -> None:
        self._engine = engine
        self._broker = broker
        self._tenant_no = tenant_no
        self._silent_seconds = silent_seconds
        self._version = version
        self._violations: Mapping[str, int] | None = None
        self._counted_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> Fleet:
        """Return what the fleet shows now. What is away is left out."""
        stream, (counted, snapshots, live, dead), violations = await asyncio.gather(
            broker_state.look(self._broker), self._read(), self._recount()
        )
        histograms = Histograms()
        repeats: Counter[str] = Counter()
        for one in snapshots:
            histograms.add(one)
            repeats.update(one.get(workers.REPEATS, {}))
        gauges = [
            (BUILD_INFO, {"version": self._version}, 1.0),
            *_stream_gauges(stream),
            *((DEAD_LETTERS, {}, count) for count in dead),
            *((WORKER_HEARTBEAT_AGE, {"worker": one["id"]}, one["heartbeat_age_seconds"]) for one in live),
            *((INVARIANT_VIOLATIONS, {"invariant": name}, count) for name, count in violations.items()),
        ]
        repeated = [(REPEATS.name, {"reason": conflict}, count) for conflict, count in repeats.items()]
        return Fleet(tallies=[*counted, *repeated], gauges=gauges, histograms=histograms)

    async def _read(self) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any], Sequence[int]]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), connect(self._engine) as connection:
                return (
                    await tallies.totals(connection),
                    await workers.snapshots(connection),
                    await workers.live(connection, silent_seconds=self._silent_seconds),
                    [await count_dead_letters(connection)],
                )
        except GONE as error:
            log.warning("scrape_incomplete", error=f"{type(error).__name__}: {error}")
            return [], [], [], []

    async def _recount(self) -> Mapping[str, int]:
        """Return the violations of each invariant among recent jobs, counted at most AUDIT_SECONDS ago."""
        async with self._one_at_a_time:
            if self._violations is None or time.monotonic() - self._counted_at > AUDIT_SECONDS:
                self._violations = await self._audit()
                self._counted_at = time.monotonic()
            return self._violations or {}

    async def _audit(self) -> Mapping[str, int] | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), snapshot(self._engine) as connection:
                audits = await audit_recent(connection, self._tenant_no)
        except GONE as error:
            log.warning("scrape_incomplete", error=f"{type(error).__name__}: {error}")
            return None
        found: Counter[str] = Counter(dict.fromkeys(MUST_BE_ZERO, 0))
        for audit in audits:
            found.update({name: getattr(audit, name) for name in MUST_BE_ZERO})
        if broken := {name: count for name, count in found.items() if count}:
            log.error("invariant_violated", **broken)
        return found


def _stream_gauges(stream: StreamState | None) -> list[Gauge]:
    if stream is None:
        return []
    return [(QUEUE_DEPTH, {}, stream.depth), (QUEUE_OLDEST_AGE, {}, stream.oldest_age_seconds)]
