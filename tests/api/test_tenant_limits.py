"""Limits of a tenant over all its keys, access tokens and sessions: exact over two APIs, beside the limits of keys."""

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle

import asyncpg
import httpx2
import pytest

from db import tenants
from db.page_sessions import NewSession, SubjectOwner, open_session
from domain.key_limits import KeyLimits
from domain.page_sessions import SECRET_BYTES, make_secret
from domain.scopes import Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.connections import database_connections
from tests.support.engines import SessionEngines
from tests.support.identity_provider import AUDIENCE, IdentityProvider
from tests.support.page_sessions import COOKIE, sign_in
from tests.support.quotas import of_cells, refusals
from tests.support.service import Client, Json, Process, api_client, running
from tests.support.waiting import eventually_async

CREATED = """
SELECT
    (SELECT coalesce(sum(j.planned), 0) FROM jobs AS j WHERE j.tenant_no = $1)
    + (
        SELECT coalesce(sum((e.data ->> 'cells')::int), 0)
        FROM events AS e JOIN jobs AS j USING (job_no)
        WHERE e.type = 'retried' AND j.tenant_no = $1
    )
"""
ACTIVE = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND tenant_no = $1"
USED = "SELECT cells FROM tenant_usage WHERE tenant_no = $1"
LEFT = """
SELECT (SELECT count(*) FROM tenant_usage AS u WHERE u.tenant_no = $1),
    (SELECT count(*) FROM tenant_requests AS r WHERE r.tenant_no = $1),
    (SELECT count(*) FROM key_usage JOIN api_keys AS k USING (key_no) WHERE k.tenant_no = $1),
    (SELECT count(*) FROM key_requests JOIN api_keys AS k USING (key_no) WHERE k.tenant_no = $1),
    (SELECT count(*) FROM active_jobs JOIN api_keys AS k USING (key_no) WHERE k.tenant_no = $1)
"""
QUOTA = 100
AT_ONCE = 50
SCOPES = "jobs:read jobs:write controls"
OBEYED_SECONDS = 1.0


@dataclass(frozen=True)
class Fleet:
    """APIs that take keys, and tokens of an identity provider; callers of one tenant."""

    clients: Sequence[Client]
    idp: IdentityProvider
    tenant: str
    tenant_no: int

    @property
    def database(self) -> "asyncpg.Connection[asyncpg.Record]":
        return self.clients[0].database

    async def limit(self, **limits: int | None) -> None:
        """Set limits of the tenant, and wait until all APIs obey for keys that they don't know yet, and for tokens."""
        assert await tenants.set_limits(self.database, self.tenant, limits) is not None
        for client in self.clients:
            caller = await self.key(client=client)
            await eventually_async(lambda c=caller: self.is_told(c, limits), what="the API obeys the limits")
            token = self.token(client=client)
            await eventually_async(lambda c=token: self.is_told(c, limits), what="the API obeys for tokens")

    async def is_told(self, caller: AsKey, limits: dict[str, int | None]) -> bool:
        told = (await caller.get("/limits")).headers.get("RateLimit-Policy", "")
        return all((f'"tenant_{name}";q={limit}' in told) == (limit is not None) for name, limit in limits.items())

    async def key(self, *scopes: Scope, client: Client | None = None, **limits: int) -> AsKey:
        text = await make_key(self.database, *scopes, tenant=self.tenant, limits=KeyLimits(**limits))
        return AsKey((client or self.clients[0]).http, text)

    def token(self, subject: str = "user-1", *, client: Client | None = None) -> AsKey:
        return AsKey((client or self.clients[0]).http, self.idp.token(sub=subject, tenant=self.tenant, scope=SCOPES))

    async def callers(self) -> list[AsKey]:
        """Three keys and two subjects, each at both APIs."""
        keys = [await make_key(self.database, tenant=self.tenant) for _ in range(3)]
        tokens = [self.idp.token(sub=subject, tenant=self.tenant, scope=SCOPES) for subject in ("user-1", "user-2")]
        return [AsKey(client.http, text) for text in (*keys, *tokens) for client in self.clients]

    async def post_all(self, bodies: Iterable[Json]) -> list[httpx2.Response]:
        """Post all bodies at once, each by another caller in turn."""
        callers = cycle(await self.callers())
        return await asyncio.gather(
            *(caller.post("/jobs", body) for caller, body in zip(callers, bodies, strict=False))
        )

    async def created(self) -> int:
        """Recount all cells that were created for the tenant."""
        return int(await self.database.fetchval(CREATED, self.tenant_no))

    async def active(self) -> int:
        """Count the tenant's jobs that haven't ended."""
        return int(await self.database.fetchval(ACTIVE, self.tenant_no))

    async def used(self) -> int | None:
        used: int | None = await self.database.fetchval(USED, self.tenant_no)
        return used


@asynccontextmanager
async def fleet_of(apis: Sequence[Process], database_url: str, idp: IdentityProvider) -> AsyncIterator[Fleet]:
    """Clients of these APIs, and a tenant of their own."""
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(api_client(api, database_url)) for api in apis]
        tenant = f"acme-{secrets.token_hex(4)}"
        yield Fleet(clients, idp, tenant, await make_tenant(clients[0].database, tenant))


def settings_of(issuer: IdentityProvider) -> dict[str, object]:
    return {"auth": "keys", "oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}


@pytest.fixture(scope="module")
def apis(
    engines: SessionEngines,
    module_database_url: str,
    issuer: IdentityProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sequence[Process]]:
    """Two APIs that the tests of this module share."""
    folder, given = tmp_path_factory.mktemp("tenant_limits"), settings_of(issuer)
    with ExitStack() as started:
        logs = [folder / f"{name}.log" for name in ("first", "second")]
        yield [
            started.enter_context(running("api", log, module_database_url, engines.redis_url, **given)) for log in logs
        ]


@pytest.fixture
async def fleet(apis: Sequence[Process], module_database_url: str, issuer: IdentityProvider) -> AsyncIterator[Fleet]:
    async with fleet_of(apis, module_database_url, issuer) as fleet:
        yield fleet


@pytest.mark.parametrize(
    "sizes",
    [[3] * AT_ONCE, [7] * 20 + [1] * 30, [99, *[1] * 49]],
    ids=["one-is-left", "large-and-small", "a-large-one"],
)
async def test_keys_and_tokens_of_a_tenant_create_together_what_fits(fleet: Fleet, sizes: list[int]) -> None:
    await fleet.limit(cells_per_day=QUOTA)
    answers = await fleet.post_all(map(of_cells, sizes))
    assert {refused.json()["quota"] for refused in refusals(answers)} == {"tenant_cells_per_day"}
    created = await fleet.created()
    assert created == sum(size for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 202)
    assert created == await fleet.used()
    assert 0 <= QUOTA - created < min(s for s, a in zip(sizes, answers, strict=True) if a.status_code == 429)


async def test_a_submission_waits_for_what_others_count_on_its_tenant_and_holds_up_no_other_tenant(
    fleet: Fleet, module_database_url: str
) -> None:
    await fleet.limit(cells_per_day=3)
    key = await fleet.key()
    other = AsKey(fleet.clients[0].http, await make_key(fleet.database))
    assert (await key.post("/jobs", of_cells(1))).status_code == 202
    async with database_connections(module_database_url, 1) as [looker]:

        async def waits() -> bool:
            return bool(await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        async with fleet.database.transaction():
            await fleet.database.execute("UPDATE tenant_usage SET cells = 3 WHERE tenant_no = $1", fleet.tenant_no)
            waiting = asyncio.create_task(key.post("/jobs", of_cells(1)))
            await eventually_async(waits, what="the submission waits")
            for _ in range(3):
                assert (await other.post("/jobs", of_cells(1))).status_code == 202
    refused = await waiting
    assert (refused.status_code, refused.json()["used"]) == (429, 3)


async def test_both_limits_hold_and_what_one_refuses_isnt_counted_on_the_other(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=8)
    tight, wide = await fleet.key(cells_per_day=3), await fleet.key(cells_per_day=100)
    assert (await tight.post("/jobs", of_cells(4))).json()["quota"] == "cells_per_day"
    assert await fleet.used() == 0
    assert (await tight.post("/jobs", of_cells(3))).status_code == 202
    refused = await wide.post("/jobs", of_cells(6))
    assert (refused.status_code, refused.json()["quota"], refused.json()["used"]) == (429, "tenant_cells_per_day", 3)
    assert "your tenant" in refused.json()["detail"]
    answer = await wide.post("/jobs", of_cells(5))
    assert answer.status_code == 202
    assert '"cells_per_day";r=95;' in answer.headers["RateLimit"]
    assert '"tenant_cells_per_day";r=0;' in answer.headers["RateLimit"]
    dry_run = await fleet.token().post("/jobs?dry_run=true", of_cells(1))
    assert (dry_run.status_code, dry_run.json()["quota"]) == (429, "tenant_cells_per_day")


async def test_another_tenant_isnt_limited(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=1)
    other = AsKey(fleet.clients[0].http, await make_key(fleet.database))
    answer = await other.post("/jobs", of_cells(5))
    assert answer.status_code == 202
    assert "RateLimit" not in answer.headers
    assert await fleet.used() is None


async def test_all_jobs_of_a_tenant_that_havent_ended_are_its_active_jobs(fleet: Fleet) -> None:
    before = await fleet.key()
    job = (await before.post("/jobs", of_cells(1))).json()["job"]["id"]
    await fleet.limit(active_jobs=4)
    answers = await fleet.post_all(of_cells(1) for _ in range(AT_ONCE))
    assert {refused.json()["quota"] for refused in refusals(answers)} == {"tenant_active_jobs"}
    assert await fleet.active() == 4
    assert (await fleet.token().post(f"/jobs/{job}/cancel")).status_code == 202
    assert len(refusals(await fleet.post_all(of_cells(1) for _ in range(10)))) == 9
    assert await fleet.active() == 4


async def test_a_session_opened_at_the_provider_counts_on_its_tenant(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=3)
    secret = make_secret(secrets.token_bytes(SECRET_BYTES))
    owner = SubjectOwner(fleet.idp.url, "user-1", frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE}))
    await open_session(fleet.database, NewSession("a-session", secret.digest, fleet.tenant_no, owner, 3600))
    headers = {"Cookie": f"{COOKIE}={secret.text}", "X-CSRF-Token": secret.csrf_token}
    http = fleet.clients[0].http
    assert (await http.post("/jobs", json=of_cells(3), headers=headers)).status_code == 202
    refused = await http.post("/jobs", json=of_cells(1), headers=headers)
    assert (refused.status_code, refused.json()["quota"]) == (429, "tenant_cells_per_day")
    assert (await fleet.token().post("/jobs", of_cells(1))).status_code == 429


async def test_a_session_opened_with_a_key_counts_on_the_key_and_on_its_tenant(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=3)
    text = await make_key(fleet.database, tenant=fleet.tenant, limits=KeyLimits(cells_per_day=10))
    session = await sign_in(fleet.clients[0].http, text)
    answer = await session.post("/jobs", of_cells(3))
    assert answer.status_code == 202, answer.text
    left = r'"cells_per_day";r=7;t=\d+, "tenant_cells_per_day";r=0;t=\d+'
    assert re.fullmatch(left, answer.headers["RateLimit"]), answer.headers["RateLimit"]
    refused = await session.post("/jobs", of_cells(1))
    assert (refused.status_code, refused.json()["quota"]) == (429, "tenant_cells_per_day")


async def test_a_limit_below_what_is_used_refuses_all_and_takes_nothing_back(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=5, active_jobs=5)
    assert (await (await fleet.key()).post("/jobs", of_cells(4))).status_code == 202
    await fleet.limit(cells_per_day=2, active_jobs=1)
    key = await fleet.key()
    assert (await key.post("/jobs", of_cells(1))).status_code == 429
    shown = {each["name"]: (each["used"], each["remaining"]) for each in (await key.get("/limits")).json()["limits"]}
    assert shown == {"tenant_active_jobs": (1, 0), "tenant_cells_per_day": (4, 0)}
    assert await fleet.created() == 4


async def test_a_tenant_gets_its_rate_over_callers_and_apis_together(fleet: Fleet) -> None:
    per_second = 20
    await fleet.limit(requests_per_second=per_second)
    callers = await fleet.callers()
    statuses: Counter[int] = Counter()
    began = time.monotonic()

    async def send(caller: AsKey) -> None:
        for _ in range(40):
            answer = await caller.get("/jobs")
            statuses[answer.status_code] += 1
            if answer.status_code == 429:
                assert (answer.json()["code"], answer.json()["quota"]) == ("rate_limited", "tenant_requests_per_second")
                assert answer.headers["Retry-After"] == "1"

    await asyncio.gather(*map(send, callers))
    seconds = time.monotonic() - began
    assert set(statuses) == {200, 429}
    assert statuses[200] <= per_second * (1 + seconds) + 2 * per_second / 10


async def test_what_a_key_may_not_send_doesnt_use_up_its_tenants_rate(fleet: Fleet) -> None:
    await fleet.limit(requests_per_second=10)
    tight, free = await fleet.key(requests_per_second=1), fleet.token()
    for _ in range(30):
        refused = await tight.get("/jobs")
    assert (refused.status_code, refused.json()["quota"]) == (429, "requests_per_second")

    async def is_served() -> bool:
        return (await free.get("/jobs")).status_code == 200

    await eventually_async(is_served, what="the tenant has requests left")
    buckets = "SELECT count(*) FROM key_requests JOIN api_keys USING (key_no) WHERE tenant_no = $1"
    assert await fleet.database.fetchval(buckets, fleet.tenant_no) == 1


async def test_what_is_planned_anew_counts_on_the_tenant(
    start_api: Callable[..., Process],
    start_worker: Callable[..., Process],
    database_url: str,
    redis_url: str,
    issuer: IdentityProvider,
) -> None:
    api = start_api(database_url, redis_url, **settings_of(issuer))
    async with fleet_of([api], database_url, issuer) as fleet:
        key = await fleet.key()
        job = (await key.post("/jobs", of_cells(3, policy={"max_attempts": 1}))).json()["job"]["id"]
        worker = start_worker(database_url, redis_url, echo_failure_rate=1)

        async def has_ended() -> bool:
            return (await key.get(f"/jobs/{job}")).json()["finished_at"] is not None

        await eventually_async(has_ended, seconds=30, what="the job has ended")
        await asyncio.to_thread(worker.stop)
        await fleet.limit(cells_per_day=5, active_jobs=2)
        key = await fleet.key()  # what was looked up before may serve for the rest of a second
        assert (await key.post("/jobs", of_cells(3))).status_code == 202
        for path in (f"/jobs/{job}/retry", f"/jobs/{job}/retry?dry_run=true"):
            refused = await key.post(path)
            assert (refused.status_code, refused.json().get("quota")) == (429, "tenant_cells_per_day"), refused.text
        assert await fleet.used() == 3
        await fleet.limit(cells_per_day=6)
        done = await fleet.token().post(f"/jobs/{job}/retry")
        assert (done.status_code, done.json()["retried"]) == (200, 3), done.text
        assert '"tenant_active_jobs";r=0, "tenant_cells_per_day";r=0;' in done.headers["RateLimit"]
        assert await fleet.used() == 6
        assert (await key.post("/jobs", of_cells(1))).status_code == 429


async def test_limits_are_shown_and_told_beside_those_of_the_key(fleet: Fleet) -> None:
    await fleet.limit(cells_per_day=10, active_jobs=2)
    key = await fleet.key(cells_per_day=5)
    assert (await key.post("/jobs", of_cells(4))).status_code == 202
    shown = await key.get("/limits")
    used = [(each["name"], each["used"], each["remaining"]) for each in shown.json()["limits"]]
    assert used == [("cells_per_day", 4, 1), ("tenant_active_jobs", 1, 1), ("tenant_cells_per_day", 4, 6)]
    policy = '"cells_per_day";q=5;w=86400;qu="cells", "tenant_active_jobs";q=2;qu="jobs", '
    assert shown.headers["RateLimit-Policy"] == f'{policy}"tenant_cells_per_day";q=10;w=86400;qu="cells"'
    of_token = (await fleet.token().get("/limits")).json()
    assert of_token["key_id"] is None
    assert [each["name"] for each in of_token["limits"]] == ["tenant_active_jobs", "tenant_cells_per_day"]


async def test_a_change_is_obeyed_by_every_process_within_a_second(fleet: Fleet) -> None:
    """Each API is asked by the key and the token that it knows already: until it obeys, and then it is late or not."""
    admin = AsKey(fleet.clients[0].http, await make_key(fleet.database, Scope.ADMIN))
    text = await make_key(fleet.database, tenant=fleet.tenant)
    token = fleet.idp.token(tenant=fleet.tenant, scope=SCOPES)
    callers = [AsKey(client.http, given) for client in fleet.clients for given in (text, token)]
    for caller in callers:
        assert (await caller.post("/jobs", of_cells(2))).status_code == 202
    for changes, shown in (
        ({"cells_per_day": 1, "active_jobs": 50}, {"active_jobs": 50, "cells_per_day": 1}),
        ({"cells_per_day": None}, {"active_jobs": 50}),
    ):
        answer = await admin.post(f"/tenants/{fleet.tenant}/limits", changes)
        changed_at = time.monotonic()
        assert (answer.status_code, answer.json()["limits"]) == (200, shown)
        while time.monotonic() - changed_at < OBEYED_SECONDS:
            await asyncio.gather(*(caller.get("/limits") for caller in callers))
        for caller in callers:
            names = {each["name"]: each["limit"] for each in (await caller.get("/limits")).json()["limits"]}
            assert names == {f"tenant_{name}": limit for name, limit in shown.items()}
    listed = (await admin.get("/tenants?limit=200")).json()["items"]
    [changed] = [each for each in listed if each["name"] == fleet.tenant]
    assert changed["limits"] == {"active_jobs": 50}


async def test_a_tenant_is_made_with_limits_and_bad_ones_are_refused(fleet: Fleet) -> None:
    admin = AsKey(fleet.clients[0].http, await make_key(fleet.database, Scope.ADMIN))
    made = await admin.post("/tenants", {"name": "globex", "limits": {"cells_per_day": 7}})
    assert (made.status_code, made.json()["limits"]) == (201, {"cells_per_day": 7})
    for body, pointer in (
        ({"cells_per_day": 0}, "/cells_per_day"),
        ({"cells_per_day": "7"}, "/cells_per_day"),
        ({"cells": 7}, "/cells"),
        ({}, ""),
    ):
        refused = await admin.post("/tenants/globex/limits", body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), refused.text
    absent = await admin.post("/tenants/nobody/limits", {"cells_per_day": 7})
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")
    headers = {"Idempotency-Key": "one"}
    assert (await admin.post("/tenants/globex/limits", {"active_jobs": None}, **headers)).status_code == 200
    other = await admin.post("/tenants/globex/limits", {"cells_per_day": None}, **headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    entry = next(each for each in (await admin.get("/audit-log")).json()["items"] if each["outcome"] == "done")
    assert (entry["action"], entry["target"]) == ("POST /tenants/{tenant}/limits", {"tenant": "globex"})


async def test_a_tenant_without_limits_leaves_no_row_and_is_told_nothing(fleet: Fleet) -> None:
    for caller in (await fleet.key(), fleet.token()):
        answer = await caller.post("/jobs", of_cells(2))
        assert answer.status_code == 202
        assert [name for name in answer.headers if "ratelimit" in name.lower()] == []
    assert tuple(await fleet.database.fetchrow(LEFT, fleet.tenant_no)) == (0, 0, 0, 0, 0)
