"""Incident 34: the emergency stop answered 404 to the id in its documentation. Each action takes what is shown."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.controls import end_unknown, exhausted
from tests.support.job_seeds import Seeds


@pytest.fixture
async def client(database_url: str, redis_url: str, start_api) -> AsyncIterator[httpx2.AsyncClient]:
    api = start_api(database_url, redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        yield client


async def first(client: httpx2.AsyncClient, path: str) -> Any:
    return (await client.get(path)).json()["items"][0]


async def took(client: httpx2.AsyncClient, path: str, body: Any = None) -> Any:
    answer = await client.post(path, json=body or {})
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()


async def test_each_action_takes_the_id_that_is_shown(client: httpx2.AsyncClient, seeds: Seeds) -> None:
    await client.post("/jobs", json={"id": "my:own.id-1", "models": ["m"], "regions": ["US"], "questions": ["One?"]})
    await seeds.plan()
    job = await first(client, "/jobs")
    assert job["id"] == "my:own.id-1"
    at = f"/jobs/{job['id']}"

    await seeds.claim()
    batch = await first(client, f"{at}/waves/1/batches")
    assert (await took(client, f"{at}/batches/{batch['batch_id']}/release"))["released"]

    [held] = await seeds.claim()
    await seeds.record(exhausted(held))
    letter = await first(client, "/queue/dead")
    assert (await took(client, f"/queue/dead/{letter['id']}/replay"))["retried"] == 1

    [held] = await seeds.claim()
    await seeds.record(exhausted(held))
    cell = await first(client, f"{at}/executions")
    assert (await took(client, f"/executions/{cell['id']}/retry"))["retried"] == 1

    [held] = await seeds.claim()
    await end_unknown(seeds, held)
    cell = await first(client, f"{at}/executions?status=unknown")
    assert (await took(client, f"/executions/{cell['id']}/resolve", {"status": "failed"}))["status"] == "failed"
    assert (await took(client, f"{at}/retry"))["retried"] == 1
    assert (await took(client, f"{at}/cancel"))["cancelled"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/absent/cancel",
        "/jobs/absent/retry",
        "/jobs/absent/batches/1/release",
        "/executions/9-0-0-0/retry",
        "/executions/9-0-0-0/resolve",
        "/queue/dead/9/replay",
    ],
)
async def test_an_id_that_nothing_has_is_distinguished(client: httpx2.AsyncClient, path: str) -> None:
    body = {"status": "failed"} if path.endswith("resolve") else {}
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
