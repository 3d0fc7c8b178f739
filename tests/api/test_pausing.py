"""Every API refuses new work for a region or provider soon after any API paused it; earlier jobs are still answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from configuration.in_force import InForceReader
from db.engine import Engine
from runtime.settings import Settings
from tests.support.service import Client, Json, Process, api_client, unique
from tests.support.waiting import eventually_async

HELD = {"regions": ["eu-west"]}
SLOW_BEAT = {"heartbeat_seconds": 10, "lease_seconds": 30}
QUICK_BEAT = {"heartbeat_seconds": 0.2, "lease_seconds": 1, "reconcile_seconds": 1}
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def two(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of two APIs that hear of each other by notices alone: the test ends before a heartbeat."""
    first, second = (start_api(database_url, redis_url, **SLOW_BEAT) for _ in range(2))
    async with api_client(first, database_url) as client, api_client(second, database_url) as other:
        yield client, other


async def press(client: Client, path: str) -> None:
    answer = await client.http.post(path)
    assert answer.status_code == 200, answer.text


async def refuses(client: Client, body: Json) -> bool:
    answer = await client.post(body, dry_run=True)
    assert answer.status_code in {200, 422}, answer.text
    return answer.status_code == 422


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_another_process_refuses_and_accepts_at_a_notice(two: tuple[Client, Client]) -> None:
    client, other = two
    await press(client, "/regions/EU/pause")
    await eventually_async(lambda: refuses(other, unique(**HELD)), seconds=5, what="the other API refuses")
    assert code(await other.post(unique(**HELD))) == (422, "region_paused")
    assert (await other.post(unique(regions=["us-east"]))).status_code == 202
    await press(other, "/regions/EU/resume")

    async def accepts() -> bool:
        return not await refuses(client, unique(**HELD))

    await eventually_async(accepts, seconds=5, what="the first API accepts")


async def test_without_redis_a_heartbeat_is_enough(start_api: Callable[..., Process], database_url: str) -> None:
    first, second = (start_api(database_url, NOBODY, **QUICK_BEAT) for _ in range(2))
    async with api_client(first, database_url) as client, api_client(second, database_url) as other:
        await press(client, "/providers/echo/pause")
        assert await refuses(client, unique())
        await eventually_async(lambda: refuses(other, unique()), seconds=5, what="the other API refuses")
        assert code(await other.post(unique())) == (422, "provider_paused")


async def test_a_pause_outlives_the_api_and_holds_from_the_first_request(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    process = start_api(database_url, redis_url)
    async with api_client(process, database_url) as client:
        await press(client, "/regions/us-east/pause")
    process.stop()
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        assert code(await client.post(unique())) == (422, "region_paused")


async def test_a_configured_pause_is_lifted_by_a_person_and_stays_so(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "breakwater.toml"
    config.write_text("[regions.us-east]\npaused = true\n")
    for is_refused in (True, False):
        process = start_api(database_url, redis_url, config=config)
        async with api_client(process, database_url) as client:
            assert await refuses(client, unique()) is is_refused
            await press(client, "/regions/us-east/resume")
            assert not await refuses(client, unique())
        process.stop()


LATE_FIRST_LOOK = """
CREATE SEQUENCE looks;
CREATE FUNCTION is_shown() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('looks') = 1 THEN
        PERFORM pg_advisory_lock_shared(7);
        PERFORM pg_advisory_unlock_shared(7);
    END IF;
    RETURN true;
END $$;
ALTER TABLE pauses RENAME TO pressed;
CREATE VIEW pauses AS SELECT * FROM pressed WHERE is_shown();
"""
"""From now on the first look at the pauses shows them as they are and answers once the lock 7 is free."""


async def test_of_two_readings_the_later_one_counts(engine: Engine, rows: Any) -> None:
    paused_regions_read: list[frozenset[str]] = []
    in_force = InForceReader(
        engine, Settings(), by="a test", on_read=lambda found: paused_regions_read.append(found.registry.paused_regions)
    )
    await in_force.follow()
    await rows.execute(LATE_FIRST_LOOK)
    await rows.execute("SELECT pg_advisory_lock(7)")
    first = asyncio.create_task(in_force.follow())

    async def has_looked() -> bool:
        return bool(await rows.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

    await eventually_async(has_looked, what="the first look waits for its answer")
    await rows.execute("UPDATE pressed SET is_paused = true WHERE name = 'eu-west'")
    second = asyncio.create_task(in_force.follow())
    await asyncio.wait({second}, timeout=0.5)
    await rows.execute("SELECT pg_advisory_unlock(7)")
    await asyncio.gather(first, second)
    assert paused_regions_read[-1] == {"eu-west"}


async def test_a_new_spec_is_refused_once_and_in_the_ledger(two: tuple[Client, Client]) -> None:
    client, _ = two
    await press(client, "/regions/EU/pause")
    body = unique(regions=["us-east", "EU"])
    for is_dry_run in (True, False):
        answer = await client.post(body, dry_run=is_dry_run)
        assert code(answer) == (422, "region_paused")
        (error,) = answer.json()["errors"]
        assert (error["pointer"], error["region"]) == ("/regions/1", "eu-west")
        assert "set policy.on_paused to wait" in error["detail"]
    (row,) = await client.ledger(answer)
    assert (row["outcome"], row["reason"], row["status_code"], row["kind"]) == (
        "rejected",
        "region_paused",
        422,
        "inference",
    )
    assert await client.jobs(body["name"]) == []


async def test_a_job_from_before_the_pause_is_still_joined_and_replayed(two: tuple[Client, Client]) -> None:
    client, _ = two
    keyed, named, plain = unique(**HELD), unique(**HELD), unique(**HELD)
    named["id"] = named["name"]
    first = [await client.post(keyed, key=keyed["name"]), await client.post(named), await client.post(plain)]
    await press(client, "/regions/EU/pause")
    again = [await client.post(keyed, key=keyed["name"]), await client.post(named), await client.post(plain)]
    assert [(answer.status_code, answer.json()["outcome"]) for answer in again] == [
        (202, "created"),
        (200, "joined"),
        (200, "joined"),
    ]
    assert again[0].headers["Idempotent-Replayed"] == "true"
    assert [answer.json()["job"]["id"] for answer in again] == [answer.json()["job"]["id"] for answer in first]


async def test_a_conflict_with_an_earlier_job_is_reported_despite_the_pause(two: tuple[Client, Client]) -> None:
    client, _ = two
    body = unique(**HELD)
    await client.post(body, key=body["name"])
    await press(client, "/regions/EU/pause")
    assert code(await client.post({**body, "models": ["b"]}, key=body["name"])) == (422, "idempotency_key_reused")
    assert code(await client.post({**body, "on_duplicate": "reject"})) == (409, "duplicate_job")
    assert code(await client.post({**body, "on_duplicate": "create"})) == (422, "region_paused")


async def test_a_refused_spec_leaves_its_key_free(two: tuple[Client, Client]) -> None:
    client, _ = two
    body = unique(**HELD)
    await press(client, "/regions/EU/pause")
    assert code(await client.post(body, key=body["name"])) == (422, "region_paused")
    await press(client, "/regions/EU/resume")
    assert (await client.post(body, key=body["name"])).status_code == 202


async def test_a_spec_that_waits_is_taken(two: tuple[Client, Client]) -> None:
    client, _ = two
    await press(client, "/regions/EU/pause")
    await press(client, "/providers/echo/pause")
    assert code(await client.post(unique())) == (422, "provider_paused")
    answer = await client.post(unique(**HELD, policy={"on_paused": "wait"}))
    assert (answer.status_code, answer.json()["spec"]["policy"]["on_paused"]) == (202, "wait")


async def test_a_pause_is_logged_with_its_client_and_reason(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    process = start_api(database_url, redis_url)
    async with api_client(process, database_url) as client:
        for _ in range(2):
            await client.http.post("/regions/EU/pause", json={"reason": "An outage."})
        await press(client, "/providers/echo/pause")
    (line,) = process.events("region_paused")
    assert (line["region"], line["who"], line["reason"]) == ("eu-west", "api:127.0.0.1", "An outage.")
    (line,) = process.events("provider_paused")
    assert (line["provider"], line["reason"]) == ("echo", None)
