"""Gauges from the facts of the stores; without facts they have the values of a healthy service. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from api.schemas.queue import StuckReason
from broker.envelopes import StreamState
from db.configurations import Committed
from db.gauges import DueMeasured, WorkMeasured
from db.pauses import Kind, Pause, Paused
from db.provider_pools import PoolRead
from runtime.metrics import (
    BATCHES_DUE,
    BATCHES_RUNNING,
    BATCHES_WAITING,
    CALLS_IN_FLIGHT,
    CALLS_LIMIT,
    CELLS_RUNNING,
    CONFIGURATION_BEHIND,
    CONFIGURATION_DIFFERS,
    CONFIGURATION_NUMBER,
    GATE_CLOSED,
    JOBS,
    LEASES_EXPIRED,
    NOT_SERVED,
    OLDEST_DUE_BATCH,
    OLDEST_QUEUED_JOB,
    PROVIDER_PAUSED,
    QUEUE_DEPTH,
    QUEUE_OLDEST_AGE,
    REGION_PAUSED,
    SIMULATING,
    STUCK,
    WORKER_HEARTBEAT_AGE,
    WORKERS_ALIVE,
    Series,
)

Gauge = tuple[Series, Mapping[str, str], float]

PAUSED = {Kind.REGION: REGION_PAUSED, Kind.PROVIDER: PROVIDER_PAUSED}


def of_work(work: WorkMeasured) -> list[Gauge]:
    """Return how many jobs and batches wait and run."""
    return [
        (JOBS, {"status": "queued"}, work.jobs_queued),
        (JOBS, {"status": "coordinating"}, work.jobs_coordinating),
        (JOBS, {"status": "running"}, work.jobs_running),
        (OLDEST_QUEUED_JOB, {}, work.oldest_queued_job_seconds),
        (BATCHES_WAITING, {}, work.batches_waiting),
        (BATCHES_RUNNING, {}, work.batches_running),
        (LEASES_EXPIRED, {}, work.leases_expired),
    ]


def of_pools(pools: Iterable[PoolRead], due: Sequence[DueMeasured]) -> list[Gauge]:
    """Return due batches, calls in flight and breaker of each provider and region with a pool or due batches."""
    due_by_pool = {(pool.provider, pool.region): pool for pool in due}
    pool_by_key = {(pool.provider, pool.region): pool for pool in pools}
    gauges: list[Gauge] = []
    for key in sorted(due_by_pool.keys() | pool_by_key.keys()):
        labels = dict(zip(("provider", "region"), key, strict=True))
        waits, pool = due_by_pool.get(key), pool_by_key.get(key)
        gauges.append((BATCHES_DUE, labels, waits.batches if waits else 0))
        gauges.append((OLDEST_DUE_BATCH, labels, waits.oldest_seconds if waits else 0))
        gauges.append((CALLS_IN_FLIGHT, labels, pool.in_flight if pool else 0))
        gauges.append((GATE_CLOSED, labels, 1 if pool and pool.gate_code else 0))
        if pool and pool.max_concurrent is not None:
            gauges.append((CALLS_LIMIT, labels, pool.max_concurrent))
    return gauges


def of_pauses(pauses: Mapping[Paused, Pause]) -> list[Gauge]:
    """Return a gauge of pauses for each region and provider."""
    return [(PAUSED[key.kind], {key.kind.value: key.name}, int(pause.is_paused)) for key, pause in pauses.items()]


def of_stuck(reasons: Iterable[str]) -> list[Gauge]:
    """Return how many pieces of work are stuck, for each reason."""
    counts = Counter(reasons)
    return [(STUCK, {"reason": reason}, counts[reason]) for reason in get_args(StuckReason)]


def of_workers(live: Sequence[Mapping[str, Any]]) -> list[Gauge]:
    """Return how many workers are alive, how many cells they run and when each sent its last heartbeat."""
    return [
        (WORKERS_ALIVE, {}, len(live)),
        (CELLS_RUNNING, {}, sum(worker["running"] for worker in live)),
        *((WORKER_HEARTBEAT_AGE, {"worker": worker["id"]}, worker["heartbeat_age_seconds"]) for worker in live),
    ]


def of_stream(stream: StreamState) -> list[Gauge]:
    """Return how many envelopes there are and how old they are."""
    return [(QUEUE_DEPTH, {}, stream.depth), (QUEUE_OLDEST_AGE, {}, stream.oldest_age_seconds)]


def of_configuration(current: Committed | None, live_by_role: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Gauge]:
    """Return the state of the configuration in force, and of the live processes that serve it."""
    if current is None:
        return []
    shown: list[Gauge] = [
        (CONFIGURATION_NUMBER, {}, current.configuration_no),
        (SIMULATING, {}, float(current.is_simulated)),
    ]
    for role, live in live_by_role.items():
        labels = {"role": role}
        shown.append((CONFIGURATION_DIFFERS, labels, sum(process["config_file"] == "differs" for process in live)))
        shown.append((CONFIGURATION_BEHIND, labels, sum(not process["is_current"] for process in live)))
        shown.append((NOT_SERVED, labels, sum(len(process["not_served"]) for process in live)))
    return shown
