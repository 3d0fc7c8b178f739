"""While a store is unavailable: jobs are taken without Redis, refused with a time to come back without PostgreSQL."""

import asyncio
import time
from collections import Counter

import httpx2
import pytest
import redis

from broker import envelopes
from tests.support.engines import OwnEngines
from tests.support.service import Client, Json, Process, StartProcess, api_client, unique
from tests.support.waiting import eventually_async

BOUND_SECONDS = 6
OUTAGE = {202, 503}


@pytest.fixture
def api(own_engines: OwnEngines, start_api: StartProcess) -> Process:
    return start_api(own_engines.database_url, own_engines.redis_url)


async def recovered(client: Client) -> bool:
    answer = await client.post(unique())
    assert answer.status_code in OUTAGE, answer.text
    return answer.status_code == 202


def assert_come_back(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_jobs_are_taken_while_redis_is_unavailable(api: Process, own_engines: OwnEngines) -> None:
    async with api_client(api, own_engines.database_url) as client:
        assert (await client.post(unique())).status_code == 202
        own_engines.valkey.kill()
        started = time.monotonic()
        answers = await asyncio.gather(*(client.post(unique(), key=f"k-{n}") for n in range(20)))
        assert Counter(answer.status_code for answer in answers) == {202: 20}
        assert time.monotonic() - started < BOUND_SECONDS
        own_engines.valkey.start()
        await eventually_async(
            lambda: all_are_announced(own_engines, 21), what="the envelopes that waited are published"
        )
        assert api.events("announcement_delayed")


async def all_are_announced(own_engines: OwnEngines, count: int) -> bool:
    with redis.Redis.from_url(own_engines.redis_url) as client:
        return int(client.xlen(envelopes.STREAM)) >= count - 1  # what was on its way when it was killed may be lost


async def test_an_api_starts_and_takes_jobs_without_redis(own_engines: OwnEngines, start_api: StartProcess) -> None:
    own_engines.valkey.kill()
    async with api_client(
        start_api(own_engines.database_url, own_engines.redis_url), own_engines.database_url
    ) as client:
        assert (await client.post(unique())).status_code == 202


async def test_posts_are_refused_while_postgresql_is_unavailable(api: Process, own_engines: OwnEngines) -> None:
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
        body = unique()
        assert (await http.post("/jobs", json=body, headers={"Idempotency-Key": "first"})).status_code == 202
        own_engines.postgres.kill_immediate()
        requests: list[Json] = [
            {"json": unique()},
            {"json": unique(models=[])},
            {"json": body, "headers": {"Idempotency-Key": "first"}},
            {"json": unique(), "params": {"dry_run": "true"}},
        ]
        for request in requests:
            started = time.monotonic()
            for answer in await asyncio.gather(*(http.post("/jobs", **request) for _ in range(20))):
                assert_come_back(answer)
            assert time.monotonic() - started < BOUND_SECONDS
        own_engines.postgres.start()
        async with api_client(api, own_engines.database_url) as client:
            await eventually_async(lambda: recovered(client), what="jobs are taken again")
            assert (await client.post(body, key="first")).headers["Idempotent-Replayed"] == "true"
        assert api.events("request_failed") == []


async def test_every_job_that_was_confirmed_outlives_a_crash_of_postgresql(
    api: Process, own_engines: OwnEngines
) -> None:
    """Clients go on posting through a crash; each repeats with its key until it has an answer."""
    taken: list[str] = []
    is_over = asyncio.Event()

    async def post_on(http: httpx2.AsyncClient) -> None:
        while not is_over.is_set():
            body = unique()
            while (answer := await post_with_key(http, body)).status_code != 202:
                assert_come_back(answer)
            taken.append(body["name"])

    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http, asyncio.TaskGroup() as clients:
        for _ in range(8):
            clients.create_task(post_on(http))
        for _ in range(3):
            await more_are(taken)
            await asyncio.to_thread(own_engines.postgres.kill_immediate)
            await asyncio.to_thread(own_engines.postgres.start)
        await more_are(taken)
        is_over.set()
    async with api_client(api, own_engines.database_url) as client:
        stored = Counter(row["name"] for row in await client.database.fetch("SELECT name FROM jobs"))
    assert stored == Counter(taken)


async def post_with_key(http: httpx2.AsyncClient, body: Json) -> httpx2.Response:
    return await http.post("/jobs", json=body, headers={"Idempotency-Key": body["name"]})


async def more_are(taken: list[str]) -> None:
    enough = len(taken) + 50

    async def are_there() -> bool:
        return len(taken) > enough

    await eventually_async(are_there, what="more jobs are taken")


async def test_an_api_starts_without_postgresql_and_takes_jobs_once_it_is_there(
    own_engines: OwnEngines, start_api: StartProcess
) -> None:
    own_engines.postgres.kill_immediate()
    api = start_api(own_engines.database_url, own_engines.redis_url)
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
        assert_come_back(await http.post("/jobs", json=unique()))
    own_engines.postgres.start()
    async with api_client(api, own_engines.database_url) as client:
        await eventually_async(lambda: recovered(client), what="jobs are taken")
