"""Stopped processes are summed up in small steps, and what a scrape shows never changes by it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db import counters, workers
from db.counters import increment
from db.engine import Connection, Engine, connect, create_engine, in_transaction, repeats
from runtime.histograms import Histograms
from runtime.metrics import HISTOGRAMS, RETRIES
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet
from worker.folding import SILENT_SECONDS, fold_stopped_processes

LONG_AGO = f"now() - interval '{SILENT_SECONDS + 60} seconds'"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=10)
    yield engine
    await engine.dispose()


@pytest.fixture(autouse=True)
def no_repeats() -> Any:
    """This process counts none of its own: they travel with every heartbeat that it writes."""
    repeats.clear()
    yield
    repeats.clear()


def measured() -> dict[str, Any]:
    histograms = Histograms()
    for series in HISTOGRAMS:
        histograms[series].observe(0.02, 3)
    return {**histograms.snapshot(), workers.REPEATS: {"DeadlockDetectedError": 1}}


async def stopped(connection: Connection, count: int, *, how: str = "stopped_at = now()") -> None:
    """Leave what so many processes counted and measured, each 2 retries, 3 observations and 1 repeat."""
    await connection.execute(
        """
        WITH entered AS (
            INSERT INTO workers (id, role, pid, host, metrics)
            SELECT 'gone-' || n, 'worker', 1, 'h', $2::text::json FROM generate_series(1, $1) AS n
            RETURNING worker_no
        )
        INSERT INTO tallies (worker_no, series, labels, value)
        SELECT worker_no, $3, '{"reason":"' || r || '"}', 1
        FROM entered CROSS JOIN unnest(ARRAY['busy', 'timeout']) AS r
        """,
        count,
        json.dumps(measured()),
        RETRIES.name,
    )
    await connection.execute(f"UPDATE workers SET {how} WHERE id LIKE 'gone-%'")


async def shown(engine: Engine) -> tuple[float, int, float, int]:
    """Retries, observations of each histogram, their sum and repeats, as a scrape sums them up."""
    histograms = Histograms()
    repeated = 0
    async with connect(engine) as connection:
        counted = await counters.totals(connection)
        for snapshot in await workers.snapshots(connection):
            histograms.add(snapshot)
            repeated += sum(snapshot.get(workers.REPEATS, {}).values())
    retries = sum(count for series, _, count in counted if series == RETRIES.name)
    [observed] = {sum(histograms[series].counts) for series in HISTOGRAMS}
    return retries, observed, histograms[HISTOGRAMS[0]].sum, repeated


async def rows_that_a_scrape_reads(connection: Connection) -> tuple[int, int]:
    rows = await connection.fetchval("SELECT count(*) FROM tallies")
    return rows, len(await workers.snapshots(connection))


async def test_5000_stopped_workers_leave_a_scrape_as_few_rows_as_one(engine: Engine, connection: Connection) -> None:
    await stopped(connection, 5000)
    before = await shown(engine)
    assert await fold_stopped_processes(engine) == 5000
    assert await shown(engine) == (before[0], before[1], pytest.approx(before[2]), before[3])
    assert before[:2] == (10_000, 15_000)
    assert await rows_that_a_scrape_reads(connection) == (2, 1)
    assert await fold_stopped_processes(engine) == 0


async def test_sums_stand_still_while_four_workers_fold_and_others_scrape(
    engine: Engine, connection: Connection
) -> None:
    await stopped(connection, 300)
    expected = (600, 900, pytest.approx(18.0), 300)
    folding = [asyncio.create_task(fold_stopped_processes(engine, at_once=7)) for _ in range(4)]
    scrapes = 0
    while not all(task.done() for task in folding):
        assert await shown(engine) == expected
        scrapes += 1
    assert sum([await task for task in folding]) == 300
    assert await shown(engine) == expected
    assert scrapes >= 5


async def test_only_processes_that_stopped_or_were_silent_for_long_are_summed_up(
    engine: Engine, connection: Connection
) -> None:
    await stopped(connection, 3, how="stopped_at = NULL")
    assert await fold_stopped_processes(engine) == 0
    await connection.execute(f"UPDATE workers SET heartbeat_at = {LONG_AGO} WHERE id = 'gone-2'")
    assert await fold_stopped_processes(engine) == 1
    assert (await shown(engine))[:2] == (6, 9)


async def test_the_measures_of_a_worker_that_comes_back_count_once(engine: Engine, connection: Connection) -> None:
    await stopped(connection, 1, how=f"heartbeat_at = {LONG_AGO}")
    worker_no = await connection.fetchval("SELECT worker_no FROM workers WHERE id = 'gone-1'")
    await fold_stopped_processes(engine)
    old = measured()

    async def beat(connection: Connection, metrics: dict[str, Any]) -> bool:
        return await workers.beat(connection, worker_no, running=0, metrics=metrics)

    assert not await in_transaction(engine, lambda c: beat(c, old))
    assert not await in_transaction(engine, lambda c: beat(c, old))
    assert (await shown(engine))[:2] == (2, 3)
    await in_transaction(engine, lambda c: workers.start_over(c, worker_no))
    assert await in_transaction(engine, lambda c: beat(c, Histograms().snapshot() | measured()))
    await in_transaction(engine, lambda c: counters.add(c, worker_no, [increment(RETRIES.name, 1, reason="busy")]))
    assert (await shown(engine))[:2] == (3, 6)
    await connection.execute(f"UPDATE workers SET heartbeat_at = {LONG_AGO}")
    assert await fold_stopped_processes(engine) == 1
    assert (await shown(engine))[:2] == (3, 6)


async def test_a_worker_that_stops_after_it_was_summed_up_counts_once(engine: Engine, connection: Connection) -> None:
    await stopped(connection, 1, how=f"heartbeat_at = {LONG_AGO}")
    worker_no = await connection.fetchval("SELECT worker_no FROM workers WHERE id = 'gone-1'")
    await fold_stopped_processes(engine)
    await workers.stop(connection, worker_no, metrics=measured())
    assert (await shown(engine))[:2] == (2, 3)
    assert await fold_stopped_processes(engine) == 0


async def test_the_sums_are_no_worker(engine: Engine, connection: Connection) -> None:
    await stopped(connection, 1)
    await fold_stopped_processes(engine)
    assert await workers.live(connection, silent_seconds=1e9) == []


async def test_a_real_worker_sums_up_others_and_goes_on_when_it_was_summed_up_itself(
    fleet: Fleet, engine: Engine, connection: Connection, redis_url: str
) -> None:
    await stopped(connection, 250)
    fleet.start(HEARTBEAT_SECONDS=0.2, LEASE_SECONDS=1, RECONCILE_SECONDS=0.2)

    async def is_folded() -> bool:
        return (await rows_that_a_scrape_reads(connection))[0] == 2

    await eventually_async(is_folded, seconds=20)
    await connection.execute(
        "UPDATE workers SET metrics = $1::text::json WHERE worker_no > 0 AND stopped_at IS NULL", workers.FOLDED
    )

    async def goes_on() -> bool:
        found = await connection.fetchval(
            "SELECT metrics::text FROM workers WHERE worker_no > 0 AND stopped_at IS NULL"
        )
        return found not in ("{}", workers.FOLDED)

    await eventually_async(goes_on, seconds=10)
    assert (await shown(engine))[:2] == (500, 750)
