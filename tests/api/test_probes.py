"""Probes, which anybody may ask: what a flood of them costs, and what they tell with API keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import httpx2
import pytest

from api.authentication import Authenticator
from api.readiness import FRESH_SECONDS, Readiness
from api.shared_looks import SharedLook
from broker.envelopes import Client as RedisClient
from db.engine import Connection, Engine
from domain.scopes import OF_INSTALLATION, Scope
from tests.support.access import bearer, make_key
from tests.support.bounded_server import passed
from tests.support.reading_app import replace_services
from tests.support.service import Client, Process, api_client, running
from tests.support.waiting import eventually_async

WAITING = """
SELECT application_name
FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name <> 'breakwater-api-heartbeat'
"""


@pytest.fixture(scope="module")
def keyed_api(engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    output = tmp_path_factory.mktemp("keyed") / "api.log"
    given = {"auth": "keys", "metrics_open": "true"}
    with running("api", output, module_database_url, engines.redis_url, **given) as process:
        yield process


@pytest.fixture
async def client(keyed_api: Process, module_database_url: str) -> AsyncIterator[Client]:
    async with api_client(keyed_api, module_database_url) as client:
        await eventually_async(partial(is_ready, client.http), what="the API is ready")
        yield client


async def is_ready(http: httpx2.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("path", "table", "waiting"),
    [
        ("/readyz", "alembic_version", "breakwater-api-probes"),
        ("/healthz", "alembic_version", "breakwater-api-probes"),
        ("/metrics", "tallies", "breakwater-api"),
    ],
)
async def test_a_flood_of_open_requests_waits_on_one_connection(client: Client, path: str, table: str, waiting: str):
    key = await make_key(client.database, Scope.JOBS_READ)

    async def names() -> list[str]:
        return [row["application_name"] for row in await client.database.fetch(WAITING)]

    await eventually_async(passed(FRESH_SECONDS), what="what was seen before is used no more")
    async with asyncio.TaskGroup() as group, client.database.transaction():
        await client.database.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        flood = [group.create_task(client.http.get(path)) for _ in range(60)]
        await eventually_async(names, what="a look waits for the lock")
        assert (await client.http.get("/jobs", headers=bearer(key))).status_code == 200
        assert (await client.http.get("/livez")).status_code == 200
        assert await names() == [waiting]
    assert {task.result().status_code for task in flood} <= {200, 503}


@pytest.mark.parametrize("scopes", [None, [], *([scope] for scope in Scope)], ids=str)
async def test_only_who_sees_the_installation_is_told_versions(client: Client, scopes: list[Scope] | None):
    """None is no key, and no scopes are a key that doesn't exist."""
    headers = {} if scopes is None else bearer(await make_key(client.database, *scopes))
    if not scopes:
        await client.database.execute("DELETE FROM api_key_secrets")
    told = bool(scopes) and not OF_INSTALLATION.isdisjoint(scopes or ())
    answer = (await client.http.get("/healthz", headers=headers)).json()
    assert set(answer["versions"]) == {"breakwater", "python", "postgresql", "broker", "schema_revision"}
    assert {value is not None for value in answer["versions"].values()} == {told}
    for shown in (answer, (await client.http.get("/readyz", headers=headers)).json()):
        assert (shown["database"]["schema_revision"] is not None) == told
        assert (shown["status"], shown["age_seconds"] >= 0) == ("ready", True)


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
@pytest.mark.parametrize("scope", [None, Scope.JOBS_READ, Scope.OPERATE])
async def test_why_it_is_not_ready_is_for_operators(
    reader: httpx2.AsyncClient,
    engine: Engine,
    redis_client: RedisClient,
    rows: Connection,
    *,
    path: str,
    scope: Scope | None,
):
    replace_services(reader, authenticator=Authenticator(engine, None))
    headers = {} if scope is None else bearer(await make_key(rows, scope))
    reader.app.state.services.registration.unwritten = "Its disk is full."  # type: ignore[attr-defined]
    full = (await reader.get(path, headers=headers)).json()
    assert (full["code"], "disk" in full["detail"]) == ("database_not_writable", scope == Scope.OPERATE)
    await rows.execute("UPDATE alembic_version SET version_num = '0000'")
    replace_services(reader, readiness=Readiness(engine, redis_client))  # it has seen nothing yet
    other = (await reader.get(path, headers=headers)).json()
    assert (other["code"], "0000" in str(other)) == ("schema_differs", scope == Scope.OPERATE)
    assert "breakwater migrate" in other["detail"]


async def test_another_schema_is_told_where_keys_cant_be_looked_up_in_it(
    reader: httpx2.AsyncClient, engine: Engine, rows: Connection
):
    replace_services(reader, authenticator=Authenticator(engine, None))
    headers = bearer(await make_key(rows, Scope.OPERATE))
    await rows.execute("UPDATE alembic_version SET version_num = '0000'")
    await rows.execute("ALTER TABLE api_key_secrets RENAME TO secrets_of_another_release")
    answer = await reader.get("/readyz", headers=headers)
    await rows.execute("ALTER TABLE secrets_of_another_release RENAME TO api_key_secrets")
    assert (answer.status_code, answer.json()["code"]) == (503, "schema_differs")


async def test_the_words_of_redis_are_for_operators(client: Client, module_database_url: str, tmp_path: Any):
    with running("api", tmp_path / "api.log", module_database_url, "redis://127.0.0.1:1", auth="keys") as api:
        key = await make_key(client.database, Scope.OPERATE)
        async with httpx2.AsyncClient(base_url=api.url, verify=False) as http:
            await eventually_async(partial(is_ready, http), what="the API is ready")
            anybody, operator = [
                (await http.get("/readyz", headers=headers)).json()["broker"] for headers in ({}, bearer(key))
            ]
    assert (anybody["code"], anybody["detail"]) == (operator["code"], None) == ("unavailable", None)
    assert operator["detail"]


async def test_probes_at_the_same_time_share_what_is_seen(engine: Engine, redis_client: RedisClient):
    readiness = Readiness(engine, redis_client)
    seen = await asyncio.gather(*(readiness.look() for _ in range(50)))
    assert all(stores.database is not None and stores.broker.fault is None for stores in seen)
    assert len({id(stores.database) for stores in seen}) <= 2
    assert len({id(stores.broker) for stores in seen}) <= 2


class Looks:
    """Counts the looks, each of which ends when the test lets it."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = asyncio.Event()

    async def look(self) -> int:
        self.count += 1
        found = self.count
        await self.may_end.wait()
        return found

    async def have_begun(self) -> bool:
        return self.count > 0


async def test_what_was_asked_for_during_a_look_is_found_by_one_that_begins_after():
    looks = Looks()
    shared = SharedLook(looks.look)
    first = asyncio.create_task(shared())
    await eventually_async(looks.have_begun)
    came: list[None] = []

    async def ask() -> int:
        came.append(None)
        return (await shared()).found

    async def all_came() -> bool:
        return len(came) == 50

    later = [asyncio.create_task(ask()) for _ in range(50)]
    await eventually_async(all_came)
    looks.may_end.set()
    assert (await first).found == 1
    assert {await each for each in later} == {2}
    assert looks.count == 2


async def test_a_fresh_look_serves_those_who_come_soon_after():
    looks = Looks()
    looks.may_end.set()
    fresh, never = SharedLook(looks.look, fresh_seconds=60), SharedLook(looks.look)
    assert [(await fresh()).found for _ in range(3)] == [1, 1, 1]
    assert [(await never()).found for _ in range(3)] == [2, 3, 4]
