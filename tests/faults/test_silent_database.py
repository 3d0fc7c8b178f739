"""A way to PostgreSQL that goes silent: nothing is closed, nothing answers. It costs seconds, and says so."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.support.connections import publish_envelopes
from tests.support.gateway import Gateway, gateway_to
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer
from tests.support.service import Process, StartProcess, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

LIMIT_SECONDS = 5


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_to(database_url) as gateway:
        yield gateway


@pytest.fixture
async def api(gateway: Gateway, redis_url: str, start_api: StartProcess) -> Process:
    return await asyncio.to_thread(start_api, gateway.url, redis_url)


@pytest.fixture
async def http(api: Process) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
        yield http


async def post(http: httpx2.AsyncClient, path: str = "/jobs", **request: object) -> tuple[int, float]:
    """Return the status of a POST and how long it took."""
    began = time.monotonic()
    answered = await http.post(path, **(request or {"json": unique()}))
    return answered.status_code, time.monotonic() - began


async def many_posts(http: httpx2.AsyncClient) -> list[tuple[int, float]]:
    """Post jobs, a pause and a trigger, side by side."""
    return await asyncio.gather(
        *(post(http) for _ in range(5)),
        post(http, "/regions/us-east/resume", json={}),
        post(http, "/jobs/no-such-job/coordinate", json={}),
        post(http, json={"name": "refused"}),
    )


@pytest.mark.alone
async def test_a_post_answers_503_in_seconds_while_postgresql_is_silent_and_202_soon_after(
    gateway: Gateway, http: httpx2.AsyncClient
) -> None:
    assert (await post(http))[0] == 202
    gateway.fall_silent()
    for answers in (await many_posts(http), [await post(http)]):  # on connections that there are, and for want of any
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < LIMIT_SECONDS
    assert (await http.get("/livez")).status_code == 200
    unready = await http.get("/readyz")
    assert (unready.status_code, unready.json()["code"]) == (503, "database_unavailable")
    trying = asyncio.create_task(post(http))
    gateway.heal()
    healed_at = time.monotonic()

    async def is_taken() -> bool:
        return (await post(http))[0] == 202

    await eventually_async(is_taken, seconds=LIMIT_SECONDS)
    assert time.monotonic() - healed_at < LIMIT_SECONDS
    await trying
    assert (await http.get("/readyz")).status_code == 200


@pytest.mark.alone
async def test_a_worker_goes_on_in_seconds_after_a_silence_and_makes_no_call_twice(
    gateway: Gateway, redis_url: str, connection, tmp_path: Path, provider: ProviderServer
) -> None:
    provider.behave = after(0.02, answer())
    config = tmp_path / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=4))
    fleet = Fleet(gateway.url, redis_url, tmp_path)
    try:
        await asyncio.to_thread(fleet.start, CONFIG=config, HEARTBEAT_SECONDS=1)
        await publish_envelopes(redis_url, await store_jobs(connection, [job_body(models=2, questions=60)]))

        async def many_are_called() -> bool:
            return len(provider.calls) > 20

        await eventually_async(many_are_called)
        gateway.fall_silent()

        async def is_stuck() -> bool:
            before = len(provider.calls)
            await asyncio.sleep(0.3)
            return len(provider.calls) == before

        await eventually_async(is_stuck)
        gateway.heal()
        healed_at = time.monotonic()
        await all_ended(connection, seconds=20)
        assert time.monotonic() - healed_at < 15
        assert max(provider.counts().values()) == 1
        await assert_audit(connection)
    finally:
        fleet.close()
