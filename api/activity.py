"""What goes on in the whole installation, read at most once a second however many ask."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from api import broker_state
from api.fleet import FleetView, Recount
from api.schemas.activity import Activity, Invariants, Minute, PreventedDuplicates, Processes, Waiting
from api.shared_looks import SharedLook
from api.stuck import explain
from broker.envelopes import Client
from db import counters, queue, workers
from db.configurations import read_current
from db.dead_letters import count_dead_letters
from db.engine import Connection, Engine, connect
from db.gauges import DueMeasured, WorkMeasured, measure_due, measure_work
from db.leadership import RECONCILING, LeaderRead, read_leader
from db.reading import in_index_order
from db.throughput import list_throughput
from runtime.metrics import DUPLICATES_PREVENTED
from runtime.settings import Settings

FRESH_SECONDS = 1.0


class ActivityView:
    """Reads what goes on, in bounded time. `fleet` keeps the last recount of the invariants."""

    def __init__(self, engine: Engine, broker: Client, settings: Settings, fleet: FleetView) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._fleet = fleet
        self._shared = SharedLook(self._look, fresh_seconds=FRESH_SECONDS)

    async def look(self) -> Activity:
        """Return what goes on, as of a second ago at most. Raises one of UNAVAILABLE."""
        return (await self._shared()).found

    async def _look(self) -> Activity:
        facts, recount, broker = await asyncio.gather(
            self._read(), self._fleet.recount(), broker_state.check(self._broker)
        )
        return Activity(
            **facts, invariants=_invariants(recount), broker=broker.state.value, broker_detail=broker.detail
        )

    async def _read(self) -> dict[str, Any]:
        """Return the facts of PostgreSQL by their names in the answer."""
        settings = self._settings
        async with connect(self._engine) as connection:
            live = await workers.live(connection, silent_seconds=settings.lease_seconds)
            apis = await workers.live(connection, silent_seconds=settings.lease_seconds, role="api")
            lost = await workers.lost(connection, silent_seconds=settings.lease_seconds)
            stuck = await queue.list_stuck(connection, min_seconds=2 * settings.reconcile_seconds)
            leader = await read_leader(connection, RECONCILING)
            current = await read_current(connection)
            prevented = await _count_prevented(connection)
            ended = await list_throughput(connection)
            work, due, letters = await in_index_order(connection, _measure)
        return {
            "waiting": _waiting(work, due, cells_running=sum(worker["running"] for worker in live)),
            "throughput": [Minute.of(minute) for minute in ended],
            "duplicates_prevented": [PreventedDuplicates(layer=each, count=prevented[each]) for each in prevented],
            "stuck": Counter(explain(work, live, settings).reason for work in stuck),
            "dead_letters": letters,
            "processes": _processes(live, apis, lost=len(lost), silent_seconds=2 * settings.heartbeat_seconds),
            "is_led": _idle_seconds(leader, live) <= settings.lease_seconds + 2 * settings.reconcile_seconds,
            "simulating": current is not None and current.is_simulated,
        }


def _idle_seconds(leader: LeaderRead | None, live: Sequence[dict[str, Any]]) -> float:
    """Return for how long no worker led; while none ever did, for how long one could have."""
    if leader is not None:
        return leader.idle_seconds
    began = min((worker["started_at"] for worker in live), default=None)
    return 0.0 if began is None else (datetime.now(UTC) - began).total_seconds()


def _invariants(recount: Recount | None) -> Invariants | None:
    if recount is None:
        return None
    checked_at = datetime.now(UTC) - timedelta(seconds=recount.age_seconds)
    return Invariants(violations=dict(recount.violations), checked_at=checked_at)


async def _measure(connection: Connection) -> tuple[WorkMeasured, Sequence[DueMeasured], int]:
    return await measure_work(connection), await measure_due(connection), await count_dead_letters(connection)


async def _count_prevented(connection: Connection) -> Counter[str]:
    """Return the prevented duplicates by layer; those that a layer never prevented aren't in it."""
    found: Counter[str] = Counter()
    for series, labels, value in await counters.totals(connection):
        if series == DUPLICATES_PREVENTED.name:
            found[labels["layer"]] += int(value)
    return found


def _waiting(work: WorkMeasured, due: Sequence[DueMeasured], *, cells_running: int) -> Waiting:
    return Waiting(
        jobs_queued=work.jobs_queued,
        jobs_open=work.jobs_coordinating + work.jobs_running,
        batches_due=sum(pool.batches for pool in due),
        batches_waiting=work.batches_waiting,
        batches_running=work.batches_running,
        leases_expired=work.leases_expired,
        cells_running=cells_running,
        oldest_seconds=max([work.oldest_queued_job_seconds, *(pool.oldest_seconds for pool in due)]),
    )


def _processes(
    live: Sequence[dict[str, Any]], apis: Sequence[dict[str, Any]], *, lost: int, silent_seconds: float
) -> Processes:
    both = [*live, *apis]
    return Processes(
        workers=len(live),
        apis=len(apis),
        silent=sum(process["heartbeat_age_seconds"] > silent_seconds for process in both),
        drained=sum(process["is_drained"] for process in live),
        lost=lost,
        behind=sum(not process["is_current"] for process in both),
        differing=sum(process["config_file"] == "differs" for process in both),
        lacking=sum(bool(process["not_served"]) for process in both),
    )
