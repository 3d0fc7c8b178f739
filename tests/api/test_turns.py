"""Requests of one tenant, or of nobody, however many come at once, leave each other tenant its turn."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise

import httpx2
import pytest

from api import look_ups
from api.authentication import Authenticator
from api.fair_places import FairPlaces
from db.engine import Connection, Engine
from domain.api_keys import make_id, make_key
from domain.scopes import Scope
from tests.support import access
from tests.support.access import bearer, make_tenant
from tests.support.reading_app import replace_services

MANY = 300
REFUSED = "/executions"
FEW = 40
"""How many of a flood are served before one other request: far from all, though it isn't told which exactly."""


@pytest.fixture
async def keyed(
    reader: httpx2.AsyncClient, engine: Engine, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> httpx2.AsyncClient:
    """A client of an app that asks for keys, with that of the tenant `other`, which was looked up and stays so."""
    monkeypatch.setattr(look_ups, "FRESH_SECONDS", 600)
    monkeypatch.setattr(look_ups, "RENEW_SECONDS", 600)
    replace_services(reader, authenticator=Authenticator(engine, None))
    await make_tenant(rows, "other")
    reader.headers.update(bearer(await access.make_key(rows, Scope.JOBS_READ, tenant="other")))
    assert (await reader.get("/jobs")).status_code == 200
    return reader


@pytest.fixture
async def crowd(rows: Connection) -> dict[str, str]:
    """The header of a key of another tenant."""
    return bearer(await access.make_key(rows, Scope.JOBS_READ))


async def served_before(
    flood: Callable[[], Awaitable[httpx2.Response]], one: Coroutine[None, None, httpx2.Response]
) -> int:
    """Send MANY requests at once, then one, which asks no store; return how many were answered when that was."""
    answered: list[int] = []

    async def send() -> None:
        answered.append((await flood()).status_code)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(MANY):
            tasks.create_task(send())
        await tasks.create_task(one)
        before = len(answered)
    assert len(answered) == MANY
    return before


FLOODS = {
    "refused": (REFUSED, 403),
    "unknown": ("/nothing", 404),
    "description": ("/openapi.json", 200),
    "page": ("/", 200),
    "probe": ("/livez", 200),
    "sign in": ("/ui/sign-in", 200),
}


@pytest.mark.parametrize(("path", "status"), FLOODS.values(), ids=FLOODS)
async def test_a_flood_leaves_another_tenant_its_turn(
    keyed: httpx2.AsyncClient, crowd: dict[str, str], path: str, status: int
):
    assert (await keyed.get(path, headers=crowd)).status_code == status
    assert await served_before(lambda: keyed.get(path, headers=crowd), keyed.get(REFUSED)) < FEW


async def test_unknown_keys_leave_a_tenant_its_turn(keyed: httpx2.AsyncClient):
    def unknown() -> Awaitable[httpx2.Response]:
        key = make_key(make_id(next(numbers)), b"%032d" % next(numbers)).text
        return keyed.get("/jobs", headers=bearer(key))

    numbers = iter(range(10_000))
    assert await served_before(unknown, keyed.get(REFUSED)) < FEW


async def test_mistyped_keys_leave_a_tenant_its_turn(keyed: httpx2.AsyncClient):
    assert await served_before(lambda: keyed.get("/jobs", headers=bearer("bw_x")), keyed.get(REFUSED)) < FEW


async def test_a_flood_of_pages_leaves_probes_their_turn(keyed: httpx2.AsyncClient):
    assert await served_before(lambda: keyed.get("/openapi.json"), keyed.get("/livez")) < FEW


async def test_without_authentication_there_are_no_turns(reader: httpx2.AsyncClient):
    assert await served_before(lambda: reader.get("/openapi.json"), reader.get("/livez")) > FEW


async def test_of_those_that_pass_through_one_does_in_each_pass_of_the_loop() -> None:
    places, passed = FairPlaces(1), []

    async def go(tenant_no: int) -> None:
        await places.pass_through(tenant_no)
        passed.append(tenant_no)

    tasks = [asyncio.create_task(go(tenant_no)) for tenant_no in [1] * 100 + [2]]
    counts = []
    while len(passed) < len(tasks):
        counts.append(len(passed))
        await asyncio.sleep(0)
    assert max(after - before for before, after in pairwise(counts)) == 1
    assert passed.index(2) <= 2
