"""Incident 35: a second coordination 87 s after the first broke a key, the job failed, and no lines were stored.

The whole of it as one scenario: a COUNT that outlasts leases, a timer, a retry and a person that trigger meanwhile, a
second worker, and a first one that stands still past its lock and lease and then wants to write what it found out.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.locks import COORDINATION
from tests.support.connections import broker_client, database_connections, publish_envelopes
from tests.support.erp_source import SCHEMA, assert_imported_once, coordination_lasts, table_held, two_tables_body
from tests.support.imports_over_http import get
from tests.support.outcomes import all_ended, stream_is_empty
from tests.support.service import Client
from tests.support.service import api_client as connected_to_api
from tests.support.waiting import eventually_async
from tests.support.workers import RunningWorker


@dataclass(frozen=True)
class Pace:
    """How long everything takes, in seconds."""

    lease: float
    heartbeat: float
    reconcile: float
    count: float
    timer: float


SCALED = Pace(lease=1.5, heartbeat=0.3, reconcile=0.3, count=5, timer=0.1)
AS_IT_WAS = Pace(lease=30, heartbeat=5, reconcile=5, count=87, timer=2)


@pytest.fixture
async def client(start_api, fleet, erp, redis_url, monkeypatch) -> AsyncIterator[Client]:
    """A client of an API that accepts imports of what the fleet reads."""
    monkeypatch.setenv("ERP_URL", fleet.database_url)
    settings = {"config": fleet.settings["CONFIG"], "data_dir": fleet.settings["DATA_DIR"]}
    process = start_api(fleet.database_url, redis_url, **settings)
    async with connected_to_api(process, fleet.database_url) as client:
        yield client


@pytest.mark.parametrize(
    "pace",
    [
        pytest.param(SCALED, id="scaled"),
        pytest.param(AS_IT_WAS, id="as-it-was", marks=[pytest.mark.long, pytest.mark.timeout(400)]),
    ],
)
async def test_any_triggers_and_stopped_workers_give_one_set_of_waves(fleet, erp, client, connection, pace) -> None:
    redis_url = fleet.redis_url
    await erp.tables(["customer", "line"], 600)
    leases = {"LEASE_SECONDS": pace.lease, "HEARTBEAT_SECONDS": pace.heartbeat, "RECONCILE_SECONDS": pace.reconcile}
    (first,) = fleet.start(1, **leases)
    async with table_held(fleet.database_url, "line") as counting:
        posted = await client.post(two_tables_body())
        job_id = posted.json()["job"]["id"]
        job_no = await connection.fetchval("SELECT job_no FROM jobs WHERE id = $1", job_id)
        await wait_for_log(first, "coordination_started", fence=1, source="initial")
        async with timer(redis_url, job_no, every=pace.timer) as triggered:
            await publish_envelopes(redis_url, [job_no], source="retry")
            early = await client.http.post(f"/jobs/{job_id}/coordinate")
            assert (early.status_code, early.json()["trigger"]["outcome"]) == (202, None)
            (second,) = fleet.start(1, **leases)
            await coordination_lasts(connection, job_no, seconds=pace.count)
            first.pause()
            async with held_next(fleet.database_url, "line"):
                await wait_for_log(second, "coordination_started", fence=2, source="fallback", seconds=3 * pace.lease)
                lock = await lock_of(redis_url, job_no)
                await counting.release()
                async with beats_held(fleet.database_url):
                    first.go_on()
                    await wait_for_log(
                        first, "duplicate_prevented", layer="coordination", reason="stale_fence", fence=1
                    )
                assert await lock_of(redis_url, job_no) == lock
                assert await connection.fetchval("SELECT count(*) FROM waves") == 0
            await all_ended(connection, seconds=3 * pace.lease + 30)
        late = await client.http.post(f"/jobs/{job_id}/coordinate")
        assert (late.status_code, late.json()["trigger"]["outcome"]) == (200, "joined")
        assert [wave["wave_number"] for wave in late.json()["waves"]] == [1, 2]
    await stream_is_empty(redis_url, seconds=2 * pace.lease + 10)
    await assert_imported_once(connection, job_no)
    await assert_every_trigger_is_recorded(client, job_id, triggered=len(triggered))
    audit = await get(client, f"/jobs/{job_id}/audit")
    assert (audit["holds"], audit["violations"]) == (True, [])


async def wait_for_log(worker: RunningWorker, event: str, *, seconds: float = 20, **fields: object) -> None:
    """Wait until a worker logs this, while what else goes on here does go on."""

    async def look() -> bool:
        assert worker.is_alive, worker.output.read_text()[-3000:]
        return bool(worker.events(event, **fields))

    await eventually_async(look, seconds=seconds, what=f"{event} {fields}: {worker.output}")


@asynccontextmanager
async def timer(redis_url: str, job_no: int, *, every: float) -> AsyncIterator[list[None]]:
    """Trigger again and again, whatever happens; what it gives grows with each time."""
    triggered: list[None] = []
    is_over = asyncio.Event()

    async def trigger() -> None:
        while not is_over.is_set():
            await publish_envelopes(redis_url, [job_no], source="fallback")
            triggered.append(None)
            with suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await is_over.wait()

    task = asyncio.create_task(trigger())
    try:
        yield triggered
    finally:
        is_over.set()
        await task


@asynccontextmanager
async def held_next(database_url: str, table: str) -> AsyncIterator[None]:
    """Counts of this table that run already may end; new ones wait until the block ends."""
    async with database_connections(database_url, 2) as (locker, watcher):
        await locker.execute("BEGIN")
        lock = asyncio.create_task(locker.execute(f"LOCK TABLE {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE"))
        pid = locker.get_server_pid()

        async def is_queued() -> bool:
            return await watcher.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", pid)

        try:
            await eventually_async(is_queued)
            yield
        finally:
            lock.cancel()
            await asyncio.gather(lock, return_exceptions=True)


@asynccontextmanager
async def beats_held(database_url: str) -> AsyncIterator[None]:
    """No lease is taken or renewed meanwhile, so no heartbeat forestalls a late write."""
    async with database_connections(database_url) as (locker,), locker.transaction():
        await locker.execute("LOCK TABLE imports IN SHARE MODE")
        yield


async def lock_of(redis_url: str, job_no: int) -> bytes:
    """Who has the lock: it is held, or there is none to compare."""
    async with broker_client(redis_url) as redis:
        found = await redis.get(COORDINATION.format(job=job_no))
    assert found is not None
    return found


async def assert_every_trigger_is_recorded(client: Client, job_id: str, *, triggered: int) -> None:
    """Each trigger has an outcome, at most one won, and the series are what the ledger says."""
    found = await ledger(client, job_id)
    print(f"\n{triggered} times the timer; in the ledger: {dict(found)}")  # noqa: T201
    assert found["initial", "fenced"] == 1
    assert found["fallback", "won"] == 1
    assert found["retry", "joined"] == 1
    assert found["manual", "joined"] == 2
    assert found["fallback", "joined"] >= triggered
    assert found.keys() == {
        ("initial", "fenced"),
        ("fallback", "won"),
        *((source, "joined") for source in ("fallback", "retry", "manual")),
    }
    counted = await series(client, "breakwater_coordination_total")
    assert {(labels["source"], labels["outcome"]): value for labels, value in counted} == found
    prevented = {
        labels["reason"]: value
        for labels, value in await series(client, "breakwater_duplicates_prevented_total")
        if labels["layer"] == "coordination"
    }
    assert (prevented["manual_joined"], prevented["stale_fence"]) == (2, 1)


async def ledger(client: Client, job_id: str) -> Counter[tuple[str, str]]:
    """How many triggers of each source came to each outcome, read page by page."""
    found: Counter[tuple[str, str]] = Counter()
    page = await get(client, f"/jobs/{job_id}/coordination", limit=200)
    while True:
        found.update((trigger["source"], trigger["outcome"]) for trigger in page["items"])
        if page["next_cursor"] is None:
            return found
        page = await get(client, f"/jobs/{job_id}/coordination", limit=200, cursor=page["next_cursor"])


async def series(client: Client, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of a series that moved, as a scraper reads them."""
    text = (await client.http.get("/metrics")).text
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.value
    ]
