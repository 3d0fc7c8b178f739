"""GET /queue and the probes show waiting work and unavailable stores, and answer without Redis."""

import time
from typing import Any

import httpx2
import pytest

from broker import envelopes
from broker.envelopes import Client, Envelope
from db import workers
from db.engine import Engine, connect, create_engine
from db.leadership import RECONCILING, lead
from tests.support.job_seeds import Seeds, retried
from tests.support.reading_app import reading_app

NOBODY = "127.0.0.1:1"


async def queue(reader: httpx2.AsyncClient) -> Any:
    answer = await reader.get("/queue")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def lonely(engine: Engine, seeds: Seeds) -> Any:
    """A client of an API whose Redis is unavailable."""
    absent = envelopes.connect(f"redis://{NOBODY}/0")
    async with reading_app(engine, absent, seeds.worker_no) as client:
        yield client
    await absent.aclose()


@pytest.fixture
async def homeless(redis_client: Client) -> Any:
    """A client of an API whose PostgreSQL is unavailable."""
    absent = create_engine(f"postgresql://u:p@{NOBODY}/d")
    async with reading_app(absent, redis_client, 1) as client:
        yield client
    await absent.dispose()


async def test_an_empty_queue_shows_zeros_and_its_workers(reader: httpx2.AsyncClient) -> None:
    found = await queue(reader)
    assert (found["broker"], found["depth"], found["undelivered"], found["oldest_age_seconds"]) == (
        "available",
        0,
        0,
        0,
    )
    assert (found["jobs_queued"], found["oldest_owed_seconds"], found["stuck"]) == (0, None, [])
    [worker] = found["workers"]
    assert (worker["id"], worker["pid"], worker["host"], worker["running"]) == ("w-seeds", 1, "here", 0)
    assert worker["configuration"] == {"number": None, "is_current": False, "file": "none", "not_served": []}


async def test_the_queue_names_the_leader_and_says_when_there_is_none_any_more(
    reader: httpx2.AsyncClient, engine: Engine, seeds: Seeds, rows: Any
) -> None:
    assert (await queue(reader))["leader"] is None
    assert await lead(engine, RECONCILING, seeds.worker_no, lease_seconds=60)
    leader = (await queue(reader))["leader"]
    assert (leader["worker"], leader["fence"], leader["is_leading"]) == ("w-seeds", 1, True)
    await rows.execute("UPDATE leaders SET worked_at = now() - interval '90 s', lease_until = now() - interval '60 s'")
    leader = (await queue(reader))["leader"]
    assert (leader["worker"], leader["is_leading"]) == ("w-seeds", False)
    assert leader["idle_seconds"] == pytest.approx(90, abs=20)


async def test_the_stream_is_counted(reader: httpx2.AsyncClient, redis_client: Client) -> None:
    await envelopes.publish(redis_client, [Envelope(job=1, source="initial", enqueued_at=time.time())] * 3)
    await envelopes.reserve(redis_client, "w", count=1, block_seconds=0.1)
    await envelopes.reserve(redis_client, "w", count=1, block_seconds=0.1)
    found = await queue(reader)
    assert (found["depth"], found["undelivered"], found["lag"], found["oldest_age_seconds"] > 0) == (3, 2, 2, True)


async def test_waiting_and_running_work_is_counted(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    await seeds.submit(questions=["One?", "Two?", "Three?"])
    await seeds.plan()
    await seeds.submit()
    first, second = await seeds.claim(cells=2)
    await seeds.record(retried(first, due_in_seconds=60))
    found = await queue(reader)
    assert (found["jobs_queued"], found["batches_due"], found["batches_waiting"]) == (1, 1, 1)
    assert (found["batches_running"], found["leases_expired"], found["oldest_owed_seconds"] > 0) == (1, 0, True)
    assert found["stuck"] == []
    assert second.fence == 1


async def test_stuck_work_comes_with_its_reason(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    held = await seeds.submit()
    await seeds.plan()
    await seeds.claim()
    due = await seeds.submit()
    await seeds.plan()
    waiting = await seeds.submit()
    await rows.execute("UPDATE batches SET lease_until = now() - interval '1 hour' WHERE status = 'running'")
    await rows.execute(
        "UPDATE ready SET queued_at = now() - interval '2 hours', not_before = now() - interval '2 hours'"
    )
    await rows.execute(
        "UPDATE jobs SET created_at = now() - interval '3 hours', queued_at = now() - interval '3 hours'"
        " WHERE status = 'queued'"
    )
    found = await queue(reader)
    assert [(entry["job_id"], entry["batch_id"], entry["reason"]) for entry in found["stuck"]] == [
        (waiting.id, None, "workers_busy"),
        (due.id, "1", "workers_busy"),
        (held.id, "1", "lease_expired"),
    ]
    assert (found["leases_expired"], round(found["oldest_owed_seconds"] / 3600)) == (1, 3)
    await rows.execute("UPDATE workers SET heartbeat_at = now() - interval '1 hour'")
    without_workers = await queue(reader)
    assert [entry["reason"] for entry in without_workers["stuck"]] == ["no_worker", "no_worker", "lease_expired"]
    assert all("tart a" in entry["next"] or "start one" in entry["next"] for entry in without_workers["stuck"])
    assert without_workers["workers"] == []


async def test_workers_that_fell_silent_are_reported_before_they_count_as_gone(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await seeds.submit()
    await rows.execute("UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'")
    reasons = {}
    for seconds in (8, 12, 31):
        await rows.execute("UPDATE workers SET heartbeat_at = now() - $1 * interval '1 second'", seconds)
        reasons[seconds] = [entry["reason"] for entry in (await queue(reader))["stuck"]]
    assert reasons == {8: ["workers_busy"], 12: ["workers_silent"], 31: ["no_worker"]}


async def test_one_worker_that_is_heard_is_enough(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await seeds.submit()
    await rows.execute("UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'")
    await rows.execute("UPDATE workers SET heartbeat_at = now() - interval '12 seconds'")
    async with connect(seeds.engine) as connection:
        await workers.register(connection, worker_id="w-heard", role="worker", pid=2, host="here")
    assert [entry["reason"] for entry in (await queue(reader))["stuck"]] == ["workers_busy"]


async def test_without_redis_the_queue_is_still_shown(lonely: httpx2.AsyncClient, seeds: Seeds) -> None:
    await seeds.submit()
    found = await queue(lonely)
    assert (found["broker"], found["depth"], found["undelivered"], found["oldest_age_seconds"]) == (
        "unavailable",
        None,
        None,
        None,
    )
    assert found["jobs_queued"] == 1


async def test_the_process_is_alive_while_stores_are_unavailable(homeless: httpx2.AsyncClient) -> None:
    answer = await homeless.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
async def test_without_the_database_it_is_not_ready(homeless: httpx2.AsyncClient, path: str) -> None:
    answer = await homeless.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "path",
    [
        "/jobs",
        "/jobs/a",
        "/audit",
        "/queue",
        "/executions/1-0-0-0",
        "/jobs/a/events",
        "/regions",
        "/providers",
        "/operations",
    ],
)
async def test_without_the_database_every_read_says_so(homeless: httpx2.AsyncClient, path: str) -> None:
    answer = await homeless.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_without_the_database_nothing_is_paused(homeless: httpx2.AsyncClient) -> None:
    for path in ("/regions/EU/pause", "/providers/echo/resume"):
        answer = await homeless.post(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_with_everything_there_it_is_ready(reader: httpx2.AsyncClient) -> None:
    answer = (await reader.get("/readyz")).json()
    assert (answer["status"], answer["broker"]["status"], answer["database"]["status"]) == ("ready", "ok", "ok")


async def test_without_redis_it_is_degraded_but_ready(lonely: httpx2.AsyncClient) -> None:
    answer = await lonely.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert (await lonely.get("/healthz")).json()["versions"]["broker"] is None


async def test_with_another_schema_it_is_not_ready(reader: httpx2.AsyncClient, rows: Any) -> None:
    await rows.execute("UPDATE alembic_version SET version_num = '0000'")
    answer = await reader.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.json()["found"]) == (503, "schema_differs", "0000")


async def test_health_names_the_versions(reader: httpx2.AsyncClient) -> None:
    versions = (await reader.get("/healthz")).json()["versions"]
    assert (versions["breakwater"], versions["postgresql"].split(".")[0].isdigit()) == ("9.9.9", True)
    assert versions["broker"].split()[0] in {"redis", "valkey"}
