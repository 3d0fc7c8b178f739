"""What the configuration keeps for some tenants: theirs to use, and to all others as if it weren't configured.

What the others are answered is compared with the answers under a configuration from which it was taken out.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.scopes import Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.configurations import commit_at, content_of
from tests.support.service import Client, Process, api_client, unique
from tests.support.waiting import eventually_async

OWNER, OTHERS = "acme", ("globex", "default")
KEPT_IDENTITIES = """
SELECT o.name, i.tenant, i.name, i.region
FROM jobs AS j
JOIN tenants AS o USING (tenant_no)
JOIN identities AS i ON i.identity_no = ANY (j.identity_nos)
WHERE i.tenant IS NOT NULL
"""
URL = "http://127.0.0.1:9/v1"
SHARED: dict[str, Any] = {
    "default_provider": "shared",
    "regions": {"us-east": {"aliases": ["US"]}, "eu-west": {}},
    "providers": {"shared": {"type": "openai", "base_urls": {"us-east": URL, "eu-west": URL}}},
    "connections": {"erp": {"url_env": "ERP_URL", "tables": ["public.line"]}},
}
KEPT: dict[str, Any] = {
    "regions": {"moon": {"aliases": ["LUNA"]}},
    "providers": {"private": {"type": "openai", "base_urls": {"us-east": URL}}},
    "connections": {
        "vault": {
            "type": "suiteql",
            "url_env": "VAULT_URL",
            "token_env": "VAULT_TOKEN",
            "queries": {"all": "SELECT 1 AS id"},
        }
    },
}


def with_kept(*, tenants: list[str] | None) -> dict[str, Any]:
    """The shared configuration, and what is kept for these tenants, or is all's; the shared provider serves there."""
    file: dict[str, Any] = json.loads(json.dumps(SHARED))
    for kind, tables in KEPT.items():
        for name, table in tables.items():
            file[kind][name] = table if tenants is None else {**table, "tenants": tenants}
    file["providers"]["shared"]["base_urls"]["moon"] = URL
    return file


def model(**members: Any) -> dict[str, Any]:
    return unique(models=[{"id": "m", **members}], regions=["us-east"])


def reading(**source: Any) -> dict[str, Any]:
    types = [{"id": "line", "key": ["id"], "source": source}]
    return {"kind": "import", "name": "ledger", "record_types": types}


@dataclass(frozen=True)
class Ask:
    """A request that names what is kept; the owner's is accepted. `kind` is where the configuration has that."""

    kind: str
    path: str
    body: dict[str, Any] | None = None
    is_served: bool = True

    @property
    def answers(self) -> tuple[int, ...]:
        """The statuses of an answer to somebody for whom it is configured."""
        if "/retry" in self.path:
            return (409,)
        return (200, 202) if self.is_served else (422,)

    def __str__(self) -> str:
        return f"{self.kind} {self.path} {self.body}"


def asks() -> Iterator[Ask]:
    bodies = [
        ("providers", model(provider="private"), True),
        ("providers", model(provider="privat"), False),
        ("regions", unique(regions=["moon"], models=["m"]), True),
        ("regions", unique(regions=["luna"], models=["m"]), True),
        ("regions", unique(regions=["mars"], models=["m"]), False),
        ("connections", reading(type="suiteql", connection="vault", query="all"), True),
        ("connections", reading(type="suiteql", connection="vault", query="none"), False),
        ("connections", reading(type="suiteql", connection="valt", query="all"), False),
        ("connections", reading(type="sql", connection="vault", table="line"), False),
        ("connections", reading(type="sql", connection="vaul", table="line"), False),
    ]
    for kind, body, is_served in bodies:
        yield Ask(kind, "/jobs", body, is_served)
        yield Ask(kind, "/jobs?dry_run=true", body, is_served)
    for kind, path in (
        ("providers", "/providers"),
        ("regions", "/regions"),
        ("regions", "/jobs?region=moon"),
        ("regions", "/jobs?region=LUNA"),
        ("regions", "/jobs?region=mars"),
        ("questions", "/questions"),
    ):
        yield Ask(kind, path, is_served="mars" not in path)
    yield Ask("regions", "/jobs/{job}/retry", {"region": "moon"})
    yield Ask("regions", "/jobs/{job}/retry?dry_run=true", {"region": "LUNA"})
    yield Ask("regions", "/jobs/{job}/executions?region=moon")
    yield Ask("providers", "/jobs?dry_run=true", unique(models=["m"], regions=["us-east"]))


ASKS = tuple(asks())


@dataclass(frozen=True)
class Stage:
    """An API with keys; each tenant has a cancelled job, whose retry is a 409 once its body is read."""

    client: Client
    database_url: str
    keys: Mapping[str, AsKey]
    jobs: Mapping[str, str]

    async def apply(self, file: Mapping[str, Any]) -> None:
        """Put a configuration in force, and let the API read it."""
        await asyncio.to_thread(commit_at, self.database_url, content_of(file))
        await self.keys["default"].get("/regions")

    async def ask(self, tenant: str, ask: Ask) -> httpx2.Response:
        path = ask.path.replace("{job}", self.jobs[tenant])
        key = self.keys[tenant]
        return await (key.get(path) if ask.body is None else key.post(path, ask.body))

    async def answer(self, tenant: str, ask: Ask) -> tuple[int, Any]:
        """Status and body without what names one request or one job."""
        answer = await self.ask(tenant, ask)
        body = {key: value for key, value in answer.json().items() if key not in {"request_id", "job", "dedup"}}
        return answer.status_code, body


@pytest.fixture
async def stage(
    start_api: Callable[..., Process], database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    monkeypatch.setenv("ERP_URL", database_url)
    monkeypatch.setenv("VAULT_URL", "http://127.0.0.1:9/suiteql")
    monkeypatch.setenv("VAULT_TOKEN", "none")
    commit_at(database_url, content_of(SHARED))
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        for name in (OWNER, "globex"):
            await make_tenant(client.database, name)
        scopes = [scope for scope in Scope if scope is not Scope.OPERATE]
        keys = {
            tenant: AsKey(client.http, await make_key(client.database, *scopes, tenant=tenant))
            for tenant in (OWNER, *OTHERS)
        }
        jobs = {}
        for tenant, key in keys.items():
            job = (await key.post("/jobs", unique(models=["m"], regions=["us-east"]))).json()["job"]["id"]
            assert (await key.post(f"/jobs/{job}/cancel")).status_code == 202
            jobs[tenant] = job
        yield Stage(client, database_url, keys, jobs)


async def test_others_are_answered_as_if_it_werent_configured_and_its_tenants_are_served(stage: Stage) -> None:
    without = {(tenant, ask): await stage.answer(tenant, ASKS[ask]) for tenant in OTHERS for ask in range(len(ASKS))}
    await stage.apply(with_kept(tenants=[OWNER]))
    for tenant in OTHERS:
        for number, ask in enumerate(ASKS):
            assert await stage.answer(tenant, ask) == without[tenant, number], (tenant, str(ask))
    for ask in ASKS:
        answer = await stage.ask(OWNER, ask)
        assert answer.status_code in ask.answers, (str(ask), answer.text)
    operator = AsKey(stage.client.http, await make_key(stage.client.database))
    for path in ("/providers/private", "/regions/moon"):
        assert (await operator.post(f"{path}/pause")).status_code == 200
    for number, ask in enumerate(ASKS):
        assert await stage.answer("globex", ask) == without["globex", number], f"paused: {ask}"
    owned = {tuple(row) for row in await stage.client.database.fetch(KEPT_IDENTITIES)}
    assert owned == {
        (OWNER, OWNER, "private", "us-east"),
        (OWNER, OWNER, "shared", "moon"),
        (OWNER, OWNER, "vault", ""),
    }


async def test_what_names_no_tenants_is_everybodys(stage: Stage) -> None:
    await stage.apply(with_kept(tenants=None))
    for tenant in (OWNER, *OTHERS):
        for ask in ASKS:
            answer = await stage.ask(tenant, ask)
            assert answer.status_code in ask.answers, (tenant, str(ask), answer.text)


def with_roots(folder: Path) -> dict[str, Any]:
    """The shared configuration, a root that is everybody's, and the owner's within it."""
    own = {"root": str(folder / "theirs"), "tenants": [OWNER]}
    return {**SHARED, "imports": {"root": str(folder), "roots": {"kept": own}}}


def with_files(folder: Path) -> None:
    (folder / "theirs" / "below").mkdir(parents=True)
    for place in ("rows.csv", "theirs/own.csv", "theirs/below/own.csv"):
        (folder / place).write_text("id\n1\n2\n")
    (folder / "link.csv").symlink_to("theirs/own.csv")
    (folder / "way").symlink_to("theirs/below")
    (folder / "theirs" / "circle.csv").symlink_to("circle.csv")
    (folder / "theirs" / "out.csv").symlink_to("/etc/passwd")


async def test_files_below_a_tenants_root_are_missing_to_others_and_its_imports_read_there(
    stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    with_files(folder)
    await stage.apply(with_roots(folder))

    async def counted(tenant: str, path: str) -> tuple[int | None, str]:
        answer = await stage.keys[tenant].post("/jobs?dry_run=true", reading(type="file", path=path))
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["planned"]["by_record_type"]
        return found["rows"], json.dumps(found["error"]).replace(path, "PATH")

    missing = await counted("default", "nothing/own.csv")
    kept = ("theirs/own.csv", "theirs/below/own.csv", "link.csv", "way/own.csv", "theirs/circle.csv", "theirs/out.csv")
    for tenant in OTHERS:
        assert await counted(tenant, "rows.csv") == (2, "null")
        for path in kept:
            assert await counted(tenant, path) == missing, (tenant, path)
    for path, expected in {"own.csv": (2, "null"), "below/own.csv": (2, "null"), "rows.csv": missing}.items():
        assert await counted(OWNER, path) == expected, path
    assert missing[0] is None
    assert "source_missing" in missing[1]


async def test_where_the_only_root_is_kept_others_import_files_as_if_there_were_none(
    stage: Stage, tmp_path: Path
) -> None:
    body = reading(type="file", path="rows.csv")
    found = [Ask("imports", path, body) for path in ("/jobs", "/jobs?dry_run=true")]
    without = [await stage.answer(tenant, ask) for tenant in OTHERS for ask in found]
    await stage.apply({**SHARED, "imports": {"root": str(tmp_path), "tenants": [OWNER]}})
    assert [await stage.answer(tenant, ask) for tenant in OTHERS for ask in found] == without
    assert [(await stage.ask(OWNER, ask)).status_code for ask in found] == [202, 200]


async def test_jobs_of_a_tenant_that_lost_what_they_ask_for_are_held_and_others_go_on(stage: Stage) -> None:
    await stage.apply(with_kept(tenants=None))
    kept = [ask for ask in ASKS if ask.is_served and ask.path == "/jobs" and ask.kind in KEPT]
    jobs = {
        (tenant, number): (await stage.ask(tenant, ask)).json()["job"]["id"]
        for tenant in (OWNER, "globex")
        for number, ask in enumerate(kept)
    }

    async def reasons() -> dict[str, set[str | None]]:
        found: dict[str, set[str | None]] = {OWNER: set(), "globex": set()}
        for (tenant, _), job in jobs.items():
            held = (await stage.keys[tenant].get(f"/jobs/{job}")).json()["held"]
            found[tenant].add(held and held["reason"])
        return found

    changed, free = {"configuration_changed"}, {None}
    for tenants, expected in (
        (None, {OWNER: free, "globex": free}),
        ([OWNER], {OWNER: free, "globex": changed}),
        (["globex"], {OWNER: changed, "globex": free}),
        (["initech"], {OWNER: changed, "globex": changed}),
        ([OWNER, "globex"], {OWNER: free, "globex": free}),
    ):
        await stage.apply(with_kept(tenants=tenants))
        assert await reasons() == expected, tenants


async def test_a_retry_of_what_its_tenant_lost_is_held_until_the_tenant_has_it_again(
    stage: Stage, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    def kept(tenant: str) -> dict[str, Any]:
        return {**SHARED, "providers": {**SHARED["providers"], "private": {"type": "echo", "tenants": [tenant]}}}

    await stage.apply(kept(OWNER))
    start_worker(database_url, redis_url, echo_failure_rate=1)
    owner = stage.keys[OWNER]
    job = (await owner.post("/jobs", model(provider="private") | {"policy": {"max_attempts": 1}})).json()["job"]["id"]

    async def read() -> dict[str, Any]:
        found: dict[str, Any] = (await owner.get(f"/jobs/{job}")).json()
        return found

    async def has_ended() -> bool:
        return (await read())["finished_at"] is not None

    await eventually_async(has_ended, seconds=30, what="it has failed")
    await stage.apply(kept("globex"))
    assert (await owner.post(f"/jobs/{job}/retry")).json()["retried"] == 1
    held = await read()
    assert (held["finished_at"], held["held"]["reason"]) == (None, "configuration_changed")
    await stage.apply(kept(OWNER))
    await eventually_async(has_ended, seconds=30, what="it has failed again")
    tries = await stage.client.database.fetchval("SELECT max(attempts) FROM executions")
    assert tries == 2


async def test_an_operator_sees_and_pauses_what_is_kept_and_submits_as_its_own_tenant(stage: Stage) -> None:
    await stage.apply(with_kept(tenants=[OWNER]))
    operator = AsKey(stage.client.http, await make_key(stage.client.database, tenant="globex"))
    for path, name in (("/providers", "private"), ("/regions", "moon")):
        items = {item["name"]: item["tenants"] for item in (await operator.get(path)).json()["items"]}
        assert items.pop(name) == [OWNER]
        assert set(items.values()) == {None}
        shown = {item["name"]: item["tenants"] for item in (await stage.keys[OWNER].get(path)).json()["items"]}
        assert shown[name] is None
        assert (await operator.post(f"{path}/{name}/pause")).status_code == 200
        assert (await operator.post(f"{path}/{name}/resume")).status_code == 200
    refused = await operator.post("/jobs", model(provider="private"))
    assert (refused.status_code, refused.json()["errors"][0]["allowed"]) == (422, ["shared"])


async def test_without_keys_all_is_the_tenant_defaults(
    start_api: Callable[..., Process], database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ERP_URL", "VAULT_URL", "VAULT_TOKEN"):
        monkeypatch.setenv(variable, database_url)
    commit_at(database_url, content_of(with_kept(tenants=[OWNER])))
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        names = [item["name"] for item in (await client.http.get("/providers")).json()["items"]]
        assert names == ["shared"]
        assert (await client.http.post("/providers/private/pause")).status_code == 404
        assert (await client.post(model(provider="private"))).status_code == 422
        commit_at(database_url, content_of(with_kept(tenants=["default", OWNER])))
        names = [item["name"] for item in (await client.http.get("/regions")).json()["items"]]
        names = [item["name"] for item in (await client.http.get("/regions")).json()["items"]]
        assert names == ["us-east", "eu-west", "moon"]
        assert (await client.post(model(provider="private"))).status_code == 202
