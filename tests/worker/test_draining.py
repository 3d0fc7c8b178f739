"""A drained worker takes no more work, others do, and it goes on once it is resumed."""

from typing import Any

import pytest

from tests.domain.bodies import plain
from tests.support.erp_source import SCHEMA
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.service import Client
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.2, "LEASE_SECONDS": 3}


async def status_of(client: Client, job: str) -> str:
    return str((await client.http.get(f"/jobs/{job}")).json()["status"])


async def submit(client: Client, **body: Any) -> str:
    answer = await client.post(plain(**body))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"]["id"])


async def worker_ids(client: Client) -> list[str]:
    return [worker["id"] for worker in (await client.http.get("/queue")).json()["workers"]]


async def has_ended(client: Client, job: str) -> bool:
    return await status_of(client, job) == "completed"


async def several_beats_later(client: Client, worker: str) -> None:
    """Wait until the worker has written three more heartbeats."""
    for _ in range(3):
        before = await client.database.fetchval("SELECT heartbeat_at FROM workers WHERE id = $1", worker)

        async def is_later(before: Any = before) -> bool:
            now = await client.database.fetchval("SELECT heartbeat_at FROM workers WHERE id = $1", worker)
            return bool(now > before)

        await eventually_async(is_later)


async def test_a_drained_worker_takes_nothing_until_it_is_resumed(own_client: Client, fleet: Fleet) -> None:
    [process] = fleet.start(1, **QUICK)
    await eventually_async(lambda: worker_ids(own_client))
    [worker] = await worker_ids(own_client)
    planned = await submit(own_client, name="planned", regions=["us-east"])
    await eventually_async(lambda: has_ended(own_client, planned))
    assert (await own_client.http.post(f"/queue/workers/{worker}/drain")).json()["is_drained"] is True
    process.wait_for("worker_drained")
    late = await submit(own_client, name="late")
    await several_beats_later(own_client, worker)
    assert await status_of(own_client, late) == "queued"
    assert (await own_client.http.post(f"/queue/workers/{worker}/drain")).status_code == 200  # safe to repeat
    assert (await own_client.http.post(f"/queue/workers/{worker}/resume")).json()["is_drained"] is False
    await eventually_async(lambda: has_ended(own_client, late))


async def test_a_drained_worker_claims_no_batch_and_another_takes_it(own_client: Client, fleet: Fleet) -> None:
    [process] = fleet.start(1, **QUICK)
    await eventually_async(lambda: worker_ids(own_client))
    [drained] = await worker_ids(own_client)
    await own_client.http.post("/regions/us-east/pause")
    job = await submit(own_client, policy={"on_paused": "wait"})
    await eventually_async(
        lambda: own_client.database.fetchval("SELECT status = 'running' FROM jobs WHERE id = $1", job)
    )
    await own_client.http.post(f"/queue/workers/{drained}/drain")
    process.wait_for("worker_drained")
    await own_client.http.post("/regions/us-east/resume")
    await several_beats_later(own_client, drained)
    assert await status_of(own_client, job) == "running"
    assert await own_client.database.fetchval("SELECT count(*) FROM batches WHERE fence > 0") == 0
    fleet.start(1, **QUICK)
    await eventually_async(lambda: has_ended(own_client, job))
    took = "SELECT w.id FROM batches JOIN workers AS w USING (worker_no)"
    assert await own_client.database.fetchval(took) != drained


@pytest.mark.parametrize("worker", ["nobody", "api-x"])
async def test_what_is_no_live_worker_is_not_drained(own_client: Client, worker: str) -> None:
    api = (await own_client.http.get("/queue")).json()["apis"]
    for each in (worker, *(process["id"] for process in api)):
        assert (await own_client.http.post(f"/queue/workers/{each}/drain")).status_code == 404


async def test_a_drained_worker_coordinates_no_import(own_client: Client, fleet: Fleet, erp: Any) -> None:
    await erp.table("base", 10)
    [process] = fleet.start(1, **QUICK)
    await eventually_async(lambda: worker_ids(own_client))
    [worker] = await worker_ids(own_client)
    await own_client.http.post(f"/queue/workers/{worker}/drain")
    process.wait_for("worker_drained")
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.base"}
    job_no = await store_import(own_client.database, import_body({**table_type("base"), "source": source}))
    job = await own_client.database.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
    await several_beats_later(own_client, worker)
    assert await status_of(own_client, job) == "queued"
    await own_client.http.post(f"/queue/workers/{worker}/resume")
    await eventually_async(lambda: has_ended(own_client, job))
