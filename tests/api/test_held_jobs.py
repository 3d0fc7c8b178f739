"""A job of which no work may start shows its hold: the reason, since when, and the remedy."""

from datetime import datetime
from typing import Any

import asyncpg
import httpx2

from db import circuit_breakers
from db.circuit_breakers import Refusal
from db.engine import in_transaction
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.job_seeds import Seeds, completed
from tests.support.service import StartProcess, api_client, unique

BOTH = {"regions": ["us-east", "eu-west"], "policy": {"on_paused": "wait"}}
ONE = {"regions": ["us-east"], "policy": {"on_paused": "wait"}}


async def held(reader: httpx2.AsyncClient, job: Any) -> Any:
    return (await reader.get(f"/jobs/{job.id}")).json()["held"]


async def close_breaker(seeds: Seeds, region: str, seconds: float = 60) -> None:
    refusal = Refusal("echo", region, "rate_limited", "Slow down.", seconds)
    await in_transaction(seeds.engine, lambda connection: circuit_breakers.trip(connection, [refusal]))


async def test_a_job_of_a_paused_region_says_so_before_and_after_it_is_planned(
    reader: httpx2.AsyncClient, seeds: Seeds
) -> None:
    job = await seeds.submit(**ONE)
    assert await held(reader, job) is None
    await reader.post("/regions/us-east/pause", json={"reason": "maintenance"})
    waiting = await held(reader, job)
    assert waiting["reason"] == "region_paused"
    assert "maintenance" in waiting["detail"]
    assert "POST /regions/us-east/resume" in waiting["detail"]
    assert waiting["action"] == {"method": "POST", "path": "/regions/us-east/resume"}
    await seeds.plan()
    shown = (await reader.get(f"/jobs/{job.id}")).json()
    assert (shown["status"], shown["held"]) == ("running", waiting)
    await reader.post("/regions/us-east/resume")
    assert await held(reader, job) is None


async def test_a_job_that_a_worker_has_in_hand_is_held_too(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**ONE)
    await seeds.plan()
    [batch] = await seeds.claim()
    await reader.post("/providers/echo/pause")
    shown = (await reader.get(f"/jobs/{job.id}")).json()
    assert (shown["queue"], shown["held"]["reason"]) == (None, "provider_paused")
    await seeds.record(completed(batch))
    assert await held(reader, job) is None


async def test_a_job_that_may_start_anywhere_is_not_held(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BOTH)
    await reader.post("/regions/us-east/pause")
    assert await held(reader, job) is None
    await seeds.plan()
    assert await held(reader, job) is None
    await reader.post("/regions/eu-west/pause")
    assert (await held(reader, job))["reason"] == "region_paused"


async def test_a_job_is_held_by_its_remaining_cells_only(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BOTH)
    await seeds.plan()
    await reader.post("/regions/us-east/pause")
    [batch] = await seeds.claim()
    await seeds.record(completed(batch))
    assert (await held(reader, job))["reason"] == "region_paused"


async def test_a_job_behind_an_open_circuit_breaker_says_until_when(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit(**ONE)
    await rows.execute("INSERT INTO pools (provider, region) VALUES ('echo', 'us-east') ON CONFLICT DO NOTHING")
    await close_breaker(seeds, "us-east")
    first = await held(reader, job)
    assert first["reason"] == "gate_closed"
    assert "rate_limited" in first["detail"]
    await close_breaker(seeds, "us-east", 120)
    assert (await held(reader, job))["since"] == first["since"]
    await rows.execute("UPDATE pools SET gate_until = now() - interval '1 second' WHERE gate_code IS NOT NULL")
    assert await held(reader, job) is None


async def test_of_a_pause_and_a_circuit_breaker_the_pause_is_named_and_the_later_time(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await rows.execute("INSERT INTO pools (provider, region) VALUES ('echo', 'us-east') ON CONFLICT DO NOTHING")
    job = await seeds.submit(**BOTH)
    await reader.post("/regions/eu-west/pause")
    paused_at = await rows.fetchval("SELECT changed_at FROM pauses WHERE kind = 'region' AND name = 'eu-west'")
    await close_breaker(seeds, "us-east")
    found = await held(reader, job)
    assert found["reason"] == "region_paused"
    assert datetime.fromisoformat(found["since"]) > paused_at


async def test_a_job_is_held_since_it_was_queued_at_the_earliest(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    await reader.post("/regions/us-east/pause")
    job = await seeds.submit(**ONE)
    shown = (await reader.get(f"/jobs/{job.id}")).json()
    assert shown["held"]["since"] == shown["queued_at"]


async def test_a_job_that_ended_is_not_held(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**ONE)
    await reader.post("/regions/us-east/pause")
    await reader.post(f"/jobs/{job.id}/cancel")
    assert await held(reader, job) is None


async def test_who_paused_it_and_why_is_told_to_operators_alone(
    start_api: StartProcess, database_url: str, redis_url: str
) -> None:
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        operator = AsKey(client.http, await make_key(client.database))
        reader = AsKey(client.http, await make_key(client.database, Scope.JOBS_READ, Scope.JOBS_WRITE))
        spec = unique(policy={"on_paused": "wait"})
        path = (await reader.post("/jobs", spec)).json()["job"]["links"]["self"]
        for kind, name in (("region", spec["regions"][0]), ("provider", "echo")):
            paused = await operator.post(f"/{kind}s/{name}/pause", {"reason": "the bill of acme"})
            assert paused.status_code == 200
            told = (await operator.get(path)).json()["held"]
            assert "the bill of acme" in told["detail"]
            shown = (await reader.get(path)).json()["held"]
            assert {**shown, "detail": ""} == {**told, "detail": ""}
            assert shown["detail"] == (
                f"Its {kind} is paused. It goes on once somebody with the scope `operate` resumes it."
            )
            assert (await operator.post(f"/{kind}s/{name}/resume")).status_code == 200
