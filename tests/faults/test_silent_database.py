"""A way to PostgreSQL that goes silent: nothing is closed, nothing answers. It costs seconds, and says so."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.gateway import Gateway
from tests.support.service import Process, StartProcess, unique
from tests.support.waiting import eventually_async

LIMIT_SECONDS = 5


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


@pytest.mark.quiet
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
