"""A key or token that ends while its request waits for the client: the request ends with it, with Redis away too."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import orjson
import pytest

from db import workers
from db.engine import connect, create_engine
from domain.scopes import Scope
from tests.support.access import AsKey, bearer, make_key, make_tenant
from tests.support.bounded_server import Wire, passed
from tests.support.description import api_description
from tests.support.identity_provider import AUDIENCE, IdentityProvider
from tests.support.job_seeds import Seeded, Seeds, answer_all
from tests.support.page_sessions import sign_in
from tests.support.raw_http import Answer, request
from tests.support.served_app import SlowClient
from tests.support.service import Client, Process, api_client, running, unique
from tests.support.waiting import eventually_async

NOWHERE = "redis://127.0.0.1:1"
ENDED_WITHIN_SECONDS = 1.0
LAST_CHUNK = b"\r\n0\r\n\r\n"
BODIES: Mapping[str, object] = {
    "/tenants": {"name": "made-too-late"},
    "/keys": {"name": "made too late", "tenant": "default", "scopes": ["admin"]},
    "/executions/{execution_id}/resolve": {"status": "failed"},
}


def changing_operations(names: Mapping[str, str]) -> list[tuple[str, str, bytes]]:
    """Each operation that changes something: its template, the path with these names, and a body that it takes."""
    found = []
    for template, methods in api_description()["paths"].items():
        if "post" in methods and "dead_letter_id" not in template:
            path = template.replace("/providers/{name}", "/providers/echo")
            for name in (part.strip("{}") for part in path.split("/") if part.startswith("{")):
                path = path.replace(f"{{{name}}}", names.get(name, "none"))
            body = unique() if template == "/jobs" else BODIES.get(template, {})
            found.append((template, path, orjson.dumps(body)))
    return found


class Dripping:
    """A request that was let pass, and whose last byte is still to come."""

    def __init__(self, wire: Wire, last: bytes) -> None:
        self._wire, self._last = wire, last

    async def end(self) -> Answer:
        """Send the last byte and read the answer."""
        await self._wire.send(self._last)
        return await self._wire.next_answer()


async def begin(opened: AsyncExitStack, url: str, path: str, body: bytes, headers: Mapping[str, str]) -> Dripping:
    """Send a POST but for its last byte, once the service asks for the body: then it has checked the key or token."""
    wire = await opened.enter_async_context(Wire(url))
    sent = request("POST", path, body, Content_Type="application/json", Expect="100-continue", **headers)
    await wire.send(sent.removesuffix(body))
    assert (await wire.read()).startswith(b"HTTP/1.1 100 "), path
    await wire.send(body[:-1])
    return Dripping(wire, body[-1:])


async def wait(seconds: float) -> None:
    """Wait so long: nothing tells that it is over, and another request would renew what is known of the key."""
    await eventually_async(passed(seconds), seconds=30)


@pytest.fixture(scope="module")
def apis(
    module_database_url: str, issuer: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Process]]:
    """Two APIs without Redis, which take keys and the issuer's tokens."""
    folder = tmp_path_factory.mktemp("apis")
    given = {"auth": "keys", "oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
    with ExitStack() as started:
        yield [
            started.enter_context(running("api", folder / f"{n}.log", module_database_url, NOWHERE, **given))
            for n in range(2)
        ]


@pytest.fixture
async def other(apis: list[Process], module_database_url: str) -> AsyncIterator[Client]:
    """A client of the second API."""
    async with api_client(apis[1], module_database_url) as client:
        yield client


@pytest.fixture
async def admin(other: Client) -> AsKey:
    return AsKey(other.http, await make_key(other.database, Scope.ADMIN))


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Connections that the test opens."""
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_body_that_ends_after_its_key_was_revoked_does_nothing(
    apis: list[Process], other: Client, admin: AsKey, opened: AsyncExitStack, module_database_url: str
) -> None:
    key = await make_key(other.database)
    key_id = key.split("_")[1]
    operations = changing_operations(await names_of_a_job(module_database_url, AsKey(other.http, key)))
    assert len(operations) > 12
    requests = [await begin(opened, apis[0].url, path, body, bearer(key)) for _, path, body in operations]
    assert (await admin.post(f"/keys/{key_id}/revoke")).status_code == 200
    await wait(ENDED_WITHIN_SECONDS)
    for (template, _, _), dripping in zip(operations, requests, strict=True):
        answer = await dripping.end()
        assert (answer.status, answer.code) == (401, "unauthenticated"), (template, answer.body)
    assert await effects(other, f"key:{key_id}") == (0, 0)


async def test_a_body_that_ends_under_a_valid_key_is_taken(
    apis: list[Process], other: Client, admin: AsKey, opened: AsyncExitStack
) -> None:
    """However long it took; its key was rotated meanwhile, and both secrets are valid."""
    key = await make_key(other.database)
    key_id = key.split("_")[1]
    submission, action = [
        await begin(opened, apis[0].url, path, orjson.dumps(body), bearer(key))
        for path, body in (("/jobs", unique()), ("/regions/us-east/pause", {}))
    ]
    assert (await admin.post(f"/keys/{key_id}/rotate", {"overlap": "1h"})).status_code == 200
    await wait(ENDED_WITHIN_SECONDS)
    assert (await submission.end()).status == 202
    assert (await action.end()).status == 200
    assert await effects(other, f"key:{key_id}") == (1, 1)


async def test_a_body_that_ends_after_its_access_token_expired_does_nothing(
    apis: list[Process], other: Client, opened: AsyncExitStack, issuer: IdentityProvider
) -> None:
    await make_tenant(other.database, "acme")
    token = issuer.token(scope="jobs:read jobs:write", exp=int(time.time()) - 3)  # 5 s are given to clocks
    dripping = await begin(opened, apis[0].url, "/jobs", orjson.dumps(unique()), bearer(token))

    async def has_expired() -> bool:
        return (await other.http.get("/jobs", headers=bearer(token))).status_code == 401

    await eventually_async(has_expired, what="the token has expired")
    answer = await dripping.end()
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert await effects(other, "oidc:user-1") == (0, 0)


async def test_a_body_that_ends_after_its_page_session_does_nothing(
    apis: list[Process], other: Client, opened: AsyncExitStack
) -> None:
    key = await make_key(other.database)
    session = await sign_in(other.http, key)
    dripping = await begin(opened, apis[0].url, "/jobs", orjson.dumps(unique()), session.headers)
    assert (await session.send_form("/ui/sign-out", csrf_token=session.token)).status_code == 303
    await wait(ENDED_WITHIN_SECONDS)
    answer = await dripping.end()
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert (await effects(other, f"key:{key.split('_')[1]}"))[0] == 0


async def effects(client: Client, by: str) -> tuple[int, int]:
    """How many jobs a caller submitted, and how many of its other requests took effect."""
    submitted = "SELECT count(*) FROM submissions WHERE submitted_by = $1"
    done = "SELECT count(*) FROM audit_entries WHERE outcome = 'done' AND ($1 LIKE '%:' || key_id)"
    return await client.database.fetchval(submitted, by), await client.database.fetchval(done, by)


async def test_a_download_is_cut_off_after_its_key_was_revoked(
    apis: list[Process], other: Client, admin: AsKey, opened: AsyncExitStack, module_database_url: str
) -> None:
    path = await big_job(module_database_url, other.database)
    key, valid = await make_key(other.database), await make_key(other.database)
    ending, going_on = [
        await opened.enter_async_context(SlowClient(apis[0].url, path, Accept="application/x-ndjson", **bearer(each)))
        for each in (key, valid)
    ]
    for client in (ending, going_on):
        assert (await client.read()).startswith(b"HTTP/1.1 200")
    assert (await admin.post(f"/keys/{key.split('_')[1]}/revoke")).status_code == 200
    await wait(ENDED_WITHIN_SECONDS)
    cut, whole = await asyncio.gather(ending.read_all(), read_to_last_chunk(going_on))
    assert not cut.endswith(LAST_CHUNK)
    assert len(cut) < len(whole) / 2
    assert "access_ended" in apis[0].output.read_text()


async def test_a_stream_of_events_ends_after_its_key_was_revoked(
    apis: list[Process], other: Client, admin: AsKey, opened: AsyncExitStack
) -> None:
    key = await make_key(other.database)
    stream = await opened.enter_async_context(
        SlowClient(apis[0].url, "/events", Accept="text/event-stream", **bearer(key))
    )
    assert (await stream.read()).startswith(b"HTTP/1.1 200")
    assert (await admin.post(f"/keys/{key.split('_')[1]}/revoke")).status_code == 200
    async with asyncio.timeout(10):
        while not (await stream.read()).endswith(b"0\r\n\r\n"):
            pass
    assert "event_stream_ended" in apis[0].output.read_text()


async def read_to_last_chunk(client: SlowClient) -> bytes:
    parts = [b""]
    while not (parts[-1].endswith(LAST_CHUNK) or b"".join(parts[-2:]).endswith(LAST_CHUNK)):
        parts.append(await client.read(2**20))
        assert parts[-1], "closed before its end"
    return b"".join(parts)


async def names_of_a_job(database_url: str, key: AsKey) -> dict[str, str]:
    """What paths name: a planned job, its execution and its batch."""
    job = await planned_job(database_url)
    (execution,) = (await key.get(f"/jobs/{job.id}/executions")).json()["items"]
    return {"job_id": job.id, "execution_id": execution["id"], "batch_id": "1", "wave_number": "1", "name": "us-east"}


async def planned_job(database_url: str, **body: Any) -> Seeded:
    engine = create_engine(database_url)
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="w", role="worker", pid=1, host="here")
    seeds = Seeds(engine, registered.worker_no)
    job = await seeds.submit(**body)
    await seeds.plan()
    await engine.dispose()
    return job


async def big_job(database_url: str, rows: Any) -> str:
    """The path of a job of 20 MB."""
    job = await planned_job(database_url, models=["a", "b"], questions=[f"{n}?" for n in range(100)])
    await answer_all(rows, job, "x" * 100_000)
    return f"/jobs/{job.id}/executions"
