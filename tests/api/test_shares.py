"""Connections of an API: reads of one tenant leave room for the others', and all of them for looking up keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from api.idempotent_actions import AT_ONCE_OF_A_TENANT, MOST_WAITING_OF_A_TENANT
from api.pools import CONNECTIONS, CONNECTIONS_OF_A_TENANT, MOST_WAITING_READS
from db import tenants
from db.controls import LOCK_SPACE
from db.shares import Share, Shares
from domain.errors import Overloaded
from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.service import Client, Process, api_client, running, unique
from tests.support.waiting import eventually_async

SLOW = "/datasets"
WAITING = """
SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
WHERE NOT l.granted AND l.locktype = 'relation' AND d.datname = current_database()
"""


@pytest.fixture(scope="module")
def keyed_api(engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    output = tmp_path_factory.mktemp("keyed") / "api.log"
    with running("api", output, module_database_url, engines.redis_url, auth="keys") as process:
        yield process


@pytest.fixture
async def client(keyed_api: Process, module_database_url: str) -> AsyncIterator[Client]:
    async with api_client(keyed_api, module_database_url) as client:
        await client.database.execute("DELETE FROM api_key_secrets; DELETE FROM api_keys")
        yield client


async def key_of(client: Client, tenant: str) -> AsKey:
    await tenants.create_tenant(client.database, tenant)
    return AsKey(client.http, await make_key(client.database, tenant=tenant))


@asynccontextmanager
async def slow_reads(client: Client, keys: Sequence[AsKey], *, count: int, waiting: int) -> AsyncIterator[list[Any]]:
    """Have each key send so many reads that wait for a lock, until so many of them wait for it in PostgreSQL.

    The block's value are their answers, which come after it.
    """
    answers: list[httpx2.Response] = []

    async def are_waiting() -> bool:
        return bool(await client.database.fetchval(WAITING) == waiting)

    for key in keys:  # the first one waits for the first look at the roles, which the lock would keep waiting
        assert (await key.get("/jobs")).status_code == 200
    async with asyncio.TaskGroup() as group, client.database.transaction():
        await client.database.execute("LOCK TABLE record_sets IN ACCESS EXCLUSIVE MODE")
        sent = [group.create_task(key.get(SLOW)) for key in keys for _ in range(count)]
        await eventually_async(are_waiting, seconds=30, what=f"{waiting} reads wait")
        yield answers
        assert await are_waiting()
    answers += [task.result() for task in sent]


async def test_slow_reads_of_a_tenant_leave_others_their_connections(client: Client):
    slow, other, fresh = [await key_of(client, tenant) for tenant in ("slow", "other", "other")]
    async with slow_reads(client, [slow], count=20, waiting=CONNECTIONS_OF_A_TENANT) as answers:
        posted = await other.post("/jobs", unique())
        assert posted.status_code == 202
        job = f"/jobs/{posted.json()['job']['id']}"
        for path in ("/jobs", job, f"{job}/events", "/events", "/executions", "/regions"):
            assert (await other.get(path)).status_code == 200, path
        assert (await fresh.get("/jobs")).status_code == 200
        assert (await slow.get("/executions")).status_code == 200  # it has the one place for large pages, and no share
        assert (await other.post(f"{job}/cancel")).status_code == 202
    assert [answer.status_code for answer in answers] == [200] * 20


async def test_actions_of_a_tenant_that_wait_for_a_lock_leave_others_their_places(client: Client):
    slow, other = [await key_of(client, tenant) for tenant in ("waiting", "acting")]
    held, free = [(await key.post("/jobs", unique())).json()["job"]["id"] for key in (slow, other)]

    async def waiting() -> int:
        return int(await client.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with asyncio.TaskGroup() as group, client.database.transaction():
        lock = "SELECT pg_advisory_xact_lock($2::int, hashint8(job_no)) FROM jobs WHERE id = $1"
        await client.database.execute(lock, held, LOCK_SPACE)
        sent = [group.create_task(slow.post(f"/jobs/{held}/cancel")) for _ in range(12)]
        await eventually_async(waiting, what="an action waits")
        assert (await other.post(f"/jobs/{free}/cancel")).status_code == 202
        assert await waiting() <= AT_ONCE_OF_A_TENANT
        assert not any(task.done() for task in sent)  # so the other one didn't wait until they gave up
    assert {task.result().status_code for task in sent} <= {200, 202, 503}


async def test_dry_runs_of_a_tenant_leave_others_their_connections(client: Client):
    slow, other = [await key_of(client, tenant) for tenant in ("trying", "reading")]
    body = unique()
    assert (await slow.post("/jobs", body)).status_code == 202
    assert (await other.get("/datasets")).status_code == 200

    async def are_waiting() -> bool:
        return bool(await client.database.fetchval(WAITING) == CONNECTIONS_OF_A_TENANT)

    async with asyncio.TaskGroup() as group, client.database.transaction():
        await client.database.execute("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        sent = [group.create_task(slow.post("/jobs?dry_run=true", body)) for _ in range(20)]
        await eventually_async(are_waiting, what="as many wait as may")
        assert (await other.get("/datasets")).status_code == 200
        assert await are_waiting()
    assert {task.result().status_code for task in sent} == {200}


async def test_keys_are_looked_up_while_reads_hold_all_connections(client: Client):
    keys = [await key_of(client, tenant) for tenant in ("one", "two", "three")]
    limits = KeyLimits(requests_per_second=5)
    fresh = AsKey(client.http, await make_key(client.database, Scope.JOBS_READ, limits=limits))
    async with slow_reads(client, keys, count=4, waiting=CONNECTIONS) as answers:
        answer = await fresh.get("/limits")
        assert (answer.status_code, answer.json()["limits"][0]["name"]) == (200, "requests_per_second")
        assert (await client.http.get("/limits", headers={"Authorization": "Bearer bw_x"})).status_code == 401
    assert {answer.status_code for answer in answers} <= {200, 503}


async def test_reads_beyond_those_that_may_wait_are_refused_at_once(client: Client):
    slow, other = [await key_of(client, tenant) for tenant in ("crowding", "beside")]
    beyond = 5
    count = CONNECTIONS_OF_A_TENANT + MOST_WAITING_READS + beyond
    async with asyncio.TaskGroup() as group, client.database.transaction():
        await client.database.execute("LOCK TABLE record_sets IN ACCESS EXCLUSIVE MODE")
        sent = [group.create_task(slow.get(SLOW)) for _ in range(count)]

        async def are_refused() -> bool:
            return sum(task.done() for task in sent) == beyond

        await eventually_async(are_refused, seconds=30, what=f"{beyond} reads are refused")
        refused = [task.result() for task in sent if task.done()]
        assert {(each.status_code, each.json()["code"], each.headers["retry-after"]) for each in refused} == {
            (503, "overloaded", "1")
        }
        assert (await other.get("/jobs")).status_code == 200
    assert sorted(task.result().status_code for task in sent) == [200] * (count - beyond) + [503] * beyond


async def test_actions_beyond_those_that_may_wait_are_refused_at_once(client: Client):
    key = await key_of(client, "pressing")
    held = (await key.post("/jobs", unique())).json()["job"]["id"]
    count = AT_ONCE_OF_A_TENANT + MOST_WAITING_OF_A_TENANT + 20
    async with asyncio.TaskGroup() as group, client.database.transaction():
        lock = "SELECT pg_advisory_xact_lock($2::int, hashint8(job_no)) FROM jobs WHERE id = $1"
        await client.database.execute(lock, held, LOCK_SPACE)
        sent = [group.create_task(key.post(f"/jobs/{held}/cancel")) for _ in range(count)]

        async def is_refused() -> bool:
            return any("wait already" in task.result().text for task in sent if task.done())

        await eventually_async(is_refused, seconds=30, what="an action is refused while others wait")
        assert not all(task.done() for task in sent)
    assert {task.result().status_code for task in sent} <= {200, 202, 503}


async def test_a_share_counts_those_that_wait_and_forgets_those_that_left():
    shares = Shares(1, most_waiting=2)
    share = shares.of(1)

    async def take(share: Share) -> None:
        async with share:
            pass

    for _ in range(2):
        await share.acquire()
        waiting = [asyncio.create_task(take(share)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await share.acquire()
        await take(shares.of(2))
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        waiting[0] = asyncio.create_task(take(share))
        await asyncio.sleep(0)
        share.release()
        await asyncio.gather(*waiting)
