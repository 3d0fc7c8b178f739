"""API keys: which requests they let pass, and that a revocation, an expiry and a rotation take effect in time."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest

from db import api_keys
from domain.scopes import Scope
from tests.support.access import AsKey, bearer, make_key, make_tenant
from tests.support.service import Client, Process, api_client, unique
from tests.support.waiting import eventually_async

REVOKED_WITHIN_SECONDS = 1.0


@pytest.fixture
async def keyed(start_api: Callable[..., Process], database_url: str, redis_url: str) -> AsyncIterator[Client]:
    """A client of an API that asks for keys."""
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        yield client


async def test_a_request_without_a_key_is_unauthenticated(keyed: Client):
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = await keyed.http.get("/jobs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_mistyped_key_is_refused_without_a_look_up(keyed: Client):
    key = await make_key(keyed.database)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    await keyed.database.execute("ALTER TABLE api_keys RENAME TO api_keys_away")
    try:
        answer = await keyed.http.get("/jobs", headers=bearer(wrong))
    finally:
        await keyed.database.execute("ALTER TABLE api_keys_away RENAME TO api_keys")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "wrong" in answer.json()["detail"]


async def test_a_key_that_doesnt_exist_is_unauthenticated(keyed: Client):
    key = await make_key(keyed.database)
    await keyed.database.execute("DELETE FROM api_keys")
    assert (await keyed.http.get("/jobs", headers=bearer(key))).status_code == 401


async def test_a_key_without_the_scope_is_told_which(keyed: Client):
    key = AsKey(keyed.http, await make_key(keyed.database, Scope.JOBS_READ))
    assert (await key.get("/jobs")).status_code == 200
    answer = await key.post("/jobs", unique())
    assert (answer.status_code, answer.json()["code"], answer.json()["scope"]) == (403, "scope_missing", "jobs:write")
    assert await keyed.database.fetchval("SELECT count(*) FROM jobs") == 0


async def test_probes_are_open_and_metrics_are_not(keyed: Client):
    for path in ("/livez", "/readyz", "/healthz"):

        async def is_open(path: str = path) -> bool:
            return (await keyed.http.get(path)).status_code == 200

        await eventually_async(is_open, what=f"{path} answers without a key")
    assert (await keyed.http.get("/metrics")).status_code == 401
    key = AsKey(keyed.http, await make_key(keyed.database, Scope.METRICS))
    assert (await key.get("/metrics")).status_code == 200


async def test_metrics_are_open_by_a_setting(start_api: Callable[..., Process], database_url: str, redis_url: str):
    async with api_client(start_api(database_url, redis_url, auth="keys", metrics_open="true"), database_url) as client:
        assert (await client.http.get("/metrics")).status_code == 200
        assert (await client.http.get("/jobs")).status_code == 401


async def test_a_key_sees_the_jobs_of_its_tenant_only(keyed: Client):
    await make_tenant(keyed.database, "acme")
    ours = AsKey(keyed.http, await make_key(keyed.database))
    theirs = AsKey(keyed.http, await make_key(keyed.database, tenant="acme"))
    body = unique()
    first, second = await ours.post("/jobs", body), await theirs.post("/jobs", body)
    assert [first.status_code, second.status_code] == [202, 202]  # the same content of two tenants is two jobs
    job_id = first.json()["job"]["id"]
    assert (await ours.get(f"/jobs/{job_id}")).status_code == 200
    assert (await theirs.get(f"/jobs/{job_id}")).status_code == 404
    assert [job["id"] for job in (await ours.get("/jobs")).json()["items"]] == [job_id]


async def test_an_expired_key_is_refused_at_its_time(keyed: Client):
    key = AsKey(keyed.http, await make_key(keyed.database, expires_in_seconds=1.5))
    began = time.monotonic()
    assert (await key.get("/jobs")).status_code == 200

    async def is_refused() -> bool:
        return (await key.get("/jobs")).status_code == 401

    await eventually_async(is_refused, seconds=5, what="the key has expired")
    assert 1 < time.monotonic() - began < 3


async def test_a_revoked_key_is_refused_by_every_api_within_a_second_without_redis(
    start_api: Callable[..., Process], database_url: str
):
    async with AsyncExitStack() as opened:
        nowhere = "redis://127.0.0.1:1"
        apis = [start_api(database_url, nowhere, auth="keys") for _ in range(2)]
        clients = [await opened.enter_async_context(api_client(api, database_url)) for api in apis]
        admin = await make_key(clients[0].database, Scope.ADMIN)
        key = await make_key(clients[0].database, Scope.JOBS_READ)

        async def use_until_refused(client: Client) -> float:
            while (await client.http.get("/jobs", headers=bearer(key))).status_code == 200:
                pass
            return time.monotonic()

        users = [asyncio.create_task(use_until_refused(client)) for client in clients]
        for client in clients:
            assert (await client.http.get("/jobs", headers=bearer(key))).status_code == 200
        path = f"/keys/{key.split('_')[1]}/revoke"
        began = time.monotonic()
        revoked = await AsKey(clients[0].http, admin).post(path)
        assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
        committed = time.monotonic()
        ends = await asyncio.gather(*users)
        assert max(ends) - committed < REVOKED_WITHIN_SECONDS, (began, committed, ends)


async def test_a_rotation_refuses_no_request(keyed: Client):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    old = await make_key(keyed.database, Scope.JOBS_READ)
    key_id, statuses, is_over = old.split("_")[1], set(), asyncio.Event()
    current = [old]

    async def use() -> None:
        while not is_over.is_set():
            statuses.add((await keyed.http.get("/jobs", headers=bearer(current[0]))).status_code)

    users = [asyncio.create_task(use()) for _ in range(4)]
    for _ in range(5):
        rotated = await admin.post(f"/keys/{key_id}/rotate", {"overlap": "1m"})
        assert rotated.status_code == 200
        assert (await keyed.http.get("/jobs", headers=bearer(current[0]))).status_code == 200
        current[0] = rotated.json()["key"]
    is_over.set()
    await asyncio.gather(*users)
    assert statuses == {200}
    assert current[0] != old


async def test_of_two_rotations_at_once_one_secret_stays(database_url: str):
    """The second waits for the first, and then has the first one's secret expire too."""
    first, second = [await asyncpg.connect(database_url) for _ in range(2)]
    key_id = (await make_key(first)).split("_")[1]
    one = first.transaction()
    await one.start()
    await api_keys.rotate_key(first, key_id, overlap_seconds=60)

    async def rotate() -> None:
        async with second.transaction():
            await api_keys.rotate_key(second, key_id, overlap_seconds=60)

    waiting = asyncio.create_task(rotate())

    async def waits() -> bool:
        return await first.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0

    await eventually_async(waits, what="the second rotation waits")
    await one.commit()
    await waiting
    assert await first.fetchval("SELECT count(*) FROM api_key_secrets") == 3
    assert await first.fetchval("SELECT count(*) FROM api_key_secrets WHERE expires_at IS NULL") == 1
    for connection in (first, second):
        await connection.close()


async def test_the_secret_before_a_rotation_expires_after_the_overlap(keyed: Client):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    old = await make_key(keyed.database, Scope.JOBS_READ)
    rotated = await admin.post(f"/keys/{old.split('_')[1]}/rotate", {"overlap": "1s"})

    async def is_refused() -> bool:
        return (await keyed.http.get("/jobs", headers=bearer(old))).status_code == 401

    await eventually_async(is_refused, seconds=5, what="the older secret has expired")
    assert (await keyed.http.get("/jobs", headers=bearer(rotated.json()["key"]))).status_code == 200


async def test_an_admin_makes_tenants_and_keys(keyed: Client):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    made = await admin.post("/tenants", {"name": "acme"})
    assert (made.status_code, made.json()["name"]) == (201, "acme")
    again = await admin.post("/tenants", {"name": "acme"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    body = {"name": "ci", "tenant": "acme", "scopes": ["jobs:read"], "expires_in": "90d", "limits": {"active_jobs": 3}}
    key = (await admin.post("/keys", body)).json()
    assert re.fullmatch(f"bw_{key['id']}_[0-9A-Za-z]{{49}}", key["key"])
    assert (await keyed.http.get("/jobs", headers=bearer(key["key"]))).status_code == 200
    listed = (await admin.get("/keys")).json()["items"]
    assert [shown["tenant"] for shown in listed] == ["acme", "default"]
    assert all("key" not in shown for shown in listed)
    assert (await admin.get("/tenants")).json()["items"][-1]["name"] == "acme"


async def test_a_repeated_creation_shows_no_secret(keyed: Client):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    body = {"name": "ci", "tenant": "default", "scopes": ["jobs:read"]}
    first, second = [await admin.post("/keys", body, **{"Idempotency-Key": "once"}) for _ in range(2)]
    assert first.json()["key"].startswith("bw_")
    assert second.json() == {**first.json(), "key": None}
    assert second.headers["Idempotent-Replayed"] == "true"
    stored = await keyed.database.fetch("SELECT answer::text FROM idempotency_keys")
    assert all(first.json()["key"] not in row["answer"] for row in stored)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"tenant": "nobody"}, "/tenant"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"expires_in": "soon"}, "/expires_in"),
        ({"expires_in": "100000d"}, "/expires_in"),
        ({"limits": {"active_jobs": 0}}, "/limits/active_jobs"),
        ({"limits": {"planets": 1}}, "/limits/planets"),
        ({"name": " "}, "/name"),
        ({"owner": "me"}, "/owner"),
    ],
)
async def test_a_malformed_key_is_refused_with_its_place(keyed: Client, change, pointer):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    body = {"name": "ci", "tenant": "default", "scopes": ["jobs:read"], **change}
    answer = await admin.post("/keys", body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await keyed.database.fetchval("SELECT count(*) FROM api_keys") == 1


@pytest.mark.parametrize("unit", ["d", "h", "m", "s"])
async def test_the_longest_durations_are_taken(keyed: Client, unit: str):
    admin = AsKey(keyed.http, await make_key(keyed.database, Scope.ADMIN))
    body = {"name": "ci", "tenant": "default", "scopes": ["jobs:read"], "expires_in": f"99999{unit}"}
    made = await admin.post("/keys", body)
    assert made.status_code == 201, made.text
    rotated = await admin.post(f"/keys/{made.json()['id']}/rotate", {"overlap": f"99999{unit}"})
    assert rotated.status_code == 200, rotated.text


async def test_only_digests_of_secrets_are_stored(keyed: Client):
    key = await make_key(keyed.database)
    tables = await keyed.database.fetch("SELECT relname FROM pg_stat_user_tables")
    for table in tables:
        rows = await keyed.database.fetch(f'SELECT t::text AS row FROM "{table["relname"]}" AS t')
        assert not [row["row"] for row in rows if key.split("_")[2] in row["row"]], table["relname"]
