"""Every operation of the description × every kind of key: the statuses that the description promises."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from api import access
from api.served_routes import ROUTES
from domain.scopes import Scope
from tests.support.access import AsKey, bearer, make_key, make_tenant
from tests.support.description import api_description
from tests.support.documentation import read
from tests.support.page_sessions import sign_in
from tests.support.service import Client, Process, api_client, unique
from tests.support.waiting import eventually_async

DESCRIPTION = api_description()
METHODS = ("get", "post", "put", "patch", "delete")
SIGNED_IN = {"/ui", "/ui/sign-out"}
"""Pages for any caller, whatever its scopes."""
OPEN = {"/livez", "/readyz", "/healthz"}
BODIES: dict[str, object] = {
    "/tenants": {"name": "other"},
    "/tenants/{tenant}/limits": {"cells_per_day": 7},
    "/keys": {"name": "other", "tenant": "default", "scopes": ["jobs:read"]},
    "/executions/{execution_id}/resolve": {"status": "failed"},
}
OF_A_TENANT = {"job_id", "execution_id"}
"""Path parameters that name what belongs to a tenant."""


@dataclass(frozen=True)
class Operation:
    """An operation of the description."""

    method: str
    path: str
    scope: Scope

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations() -> list[Operation]:
    found = []
    for path, methods in DESCRIPTION["paths"].items():
        for method in methods.keys() & set(METHODS):
            security = methods[method].get("security")
            if path in OPEN:
                assert security is None, path
                continue
            assert security is not None, f"{method} {path} names no scope"
            ((scheme, scopes),) = security[0].items()
            assert (scheme, len(security), len(scopes)) == ("api_key", 1, 1), path
            found.append(Operation(method, path, Scope(scopes[0])))
    return found


OPERATIONS = operations()


def test_every_route_names_its_scope_or_is_known_to_be_open() -> None:
    """Also those that aren't described: a route without `requires` has no caller, and would fail in `keys` mode."""
    pages = {"/", "/docs", "/favicon.ico", "/ui/sign-in", "/ui/sign-in/provider", "/ui/sign-in/callback", *SIGNED_IN}
    pages |= {"/problems", "/problems/{code}"}
    security = read("docs/security.md")
    assert all(f"`{path}`" in security for path in (*OPEN, "/docs", "/openapi.json", "/problems", "/problems/{code}"))
    described = {operation.path for operation in OPERATIONS}
    for routes in ROUTES:
        for route in routes.router.routes:
            path: str = route.path_format  # type: ignore[attr-defined]
            assert (access.signed_in in getattr(route, "dependencies", ())) == (path in SIGNED_IN), path
            scopes = {
                scope
                for depends in getattr(route, "dependencies", ())
                for scope in getattr(depends, "scopes", None) or ()
            }
            is_page_for_some = path.startswith("/ui/") and path not in pages
            assert path in described | OPEN | pages or is_page_for_some, path
            assert (not scopes) == (path in OPEN | pages), path


@dataclass(frozen=True)
class Stage:
    """Two tenants: `default`, with a job that has ended, and `other`, which owns nothing."""

    client: Client
    parameters: Mapping[str, Any]

    async def send(self, operation: Operation, headers: Mapping[str, str]) -> Any:
        path = operation.path
        for name, value in self.parameters.items():
            path = path.replace(f"{{{name}}}", str(value))
        assert "{" not in path, path
        body = BODIES.get(operation.path, unique() if operation.path == "/jobs" else None)
        json = body if operation.method == "post" else None
        return await self.client.http.request(operation.method.upper(), path, json=json, headers=headers)


@pytest.fixture
async def stage(
    start_api: Callable[..., Process], start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> AsyncIterator[Stage]:
    """The stage, whose job has a dead letter."""
    start_worker(database_url, redis_url, echo_failure_rate=1)
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        key = AsKey(client.http, await make_key(client.database))
        job_id = (await key.post("/jobs", unique(policy={"max_attempts": 1}))).json()["job"]["id"]

        async def has_ended() -> bool:
            return (await key.get(f"/jobs/{job_id}")).json()["finished_at"] is not None

        await eventually_async(has_ended, seconds=30, what="the job has ended")
        (execution, *_) = (await key.get(f"/jobs/{job_id}/executions")).json()["items"]
        (dead_letter, *_) = (await key.get("/queue/dead")).json()["items"]
        await make_tenant(client.database, "acme")
        yield Stage(
            client,
            {
                "job_id": job_id,
                "execution_id": execution["id"],
                "dead_letter_id": dead_letter["id"],
                "worker_id": (await key.get("/queue")).json()["workers"][0]["id"],
                "wave_number": 1,
                "batch_id": 1,
                "name": "us-east",
                "dataset": "none",
                "key_id": "3k9f0q7zt2ab",
                "tenant": "acme",
                "session_id": "3k9f0q7zt2ab",
            },
        )


async def test_every_operation_refuses_a_request_without_a_valid_key(stage: Stage) -> None:
    database = stage.client.database
    expired = await make_key(database, expires_in_seconds=0)
    revoked = await make_key(database)
    await database.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", revoked.split("_")[1])
    unknown = await make_key(database)
    await database.execute("DELETE FROM api_keys WHERE id = $1", unknown.split("_")[1])
    wrong = ("", "Bearer", "Basic YTpi", "Bearer x", f"Bearer {expired}", f"Bearer {revoked}", f"Bearer {unknown}")
    for operation in OPERATIONS:
        for value in wrong:
            answer = await stage.send(operation, {"Authorization": value} if value else {})
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (str(operation), value)
            assert str(answer.status_code) in described(operation)


async def test_every_operation_refuses_a_key_with_all_other_scopes(stage: Stage) -> None:
    keys = {
        scope: await make_key(stage.client.database, *(other for other in Scope if other is not scope))
        for scope in Scope
    }
    for operation in OPERATIONS:
        answer = await stage.send(operation, bearer(keys[operation.scope]))
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), str(operation)
        assert answer.json()["scope"] == operation.scope
        assert str(answer.status_code) in described(operation)


async def test_every_operation_takes_a_key_with_its_scope_alone(stage: Stage) -> None:
    keys = {scope: await make_key(stage.client.database, scope) for scope in Scope}
    for operation in OPERATIONS:
        answer = await stage.send(operation, bearer(keys[operation.scope]))
        assert answer.status_code not in {401, 403, 500}, (str(operation), answer.text)
        assert str(answer.status_code) in described(operation), (str(operation), answer.text)


async def test_every_operation_that_changes_something_needs_the_token_of_a_session(stage: Stage) -> None:
    """Its cookie alone is what a page of another site could have sent with a request."""
    key = await make_key(stage.client.database)
    session = await sign_in(stage.client.http, key)
    count = 0
    for operation in OPERATIONS:
        answer = await stage.send(operation, session.cookie)
        if operation.method == "get":
            assert answer.status_code not in {401, 403, 500}, (str(operation), answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_token_required"), str(operation)
            assert str(answer.status_code) in described(operation)
            answer = await stage.send(operation, session.headers)
            assert answer.status_code not in {401, 403, 500}, (str(operation), answer.text)
            count += 1
    assert count >= 15


async def test_what_belongs_to_another_tenant_isnt_there(stage: Stage) -> None:
    theirs = await make_key(stage.client.database, tenant="acme")
    count = 0
    for operation in OPERATIONS:
        if any(f"{{{name}}}" in operation.path for name in OF_A_TENANT):
            answer = await stage.send(operation, bearer(theirs))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (str(operation), answer.text)
            count += 1
    assert count >= 15
    for path in ("/jobs", "/executions", "/events", "/audit", "/datasets"):
        answer = await AsKey(stage.client.http, theirs).get(path)
        assert answer.json()["items"] == [], path


def described(operation: Operation) -> Mapping[str, Any]:
    responses: Mapping[str, Any] = DESCRIPTION["paths"][operation.path][operation.method]["responses"]
    return responses
