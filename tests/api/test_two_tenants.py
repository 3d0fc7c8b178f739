"""Two tenants with something of every kind: what is the other's isn't there, and nothing crosses by equal names."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from typing import Any

import httpx2
import pytest

from api.authentication import Authenticator
from domain.scopes import OF_INSTALLATION, Scope
from runtime.tasks import end_tasks
from tests.support.description import api_description
from tests.support.job_seeds import Seeds
from tests.support.reading_app import replace_services
from tests.support.two_tenants import SHARED, Owner, body_of, two_tenants

PAIRS = 1_000
NOWHERE: Mapping[str, str] = {
    "job_id": "of-nobody",
    "execution_id": "1999999999999999-0-0-0",
    "dataset": "of-nobody",
    "dead_letter_id": "999999999",
    "key_id": "zzzzzzzzzzzz",
}
"""Ids that never existed, by path parameter."""
WITHIN_A_JOB = {"batch_id": "1", "wave_number": "1"}
OF_NO_TENANT = {"name", "session_id", "tenant", "worker_id"}
"""Path parameters that name what is of the installation: providers, regions, sessions, tenants and workers."""
BODIES: Mapping[str, Any] = {"/executions/{execution_id}/resolve": {"status": "failed"}}
QUERIES: Mapping[str, Sequence[str]] = {
    "/datasets/{dataset}/records": ("?record_type=type-0", ""),
    "/jobs/{job_id}/retry": ("", "?dry_run=true"),
}
FORMS: Sequence[Mapping[str, str]] = ({}, {"Accept": "text/csv"}, {"Accept": "application/x-ndjson"})
TABLES = """
SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
OF_ONE = (
    "SELECT * FROM jobs WHERE tenant_no = $1 ORDER BY job_no",
    "SELECT e.* FROM executions AS e JOIN jobs USING (job_no) WHERE tenant_no = $1 ORDER BY 1, 2, 3, 4",
    "SELECT e.* FROM events AS e JOIN jobs USING (job_no) WHERE tenant_no = $1 ORDER BY 1, 2",
    "SELECT * FROM idempotency_keys WHERE tenant_no = $1 ORDER BY key",
)


@dataclass(frozen=True)
class Operation:
    """An operation whose path names something that belongs to a tenant."""

    method: str
    path: str
    names: str
    scope: Scope
    refused_with: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused_with", 403 if self.scope in OF_INSTALLATION else 404)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, named: str) -> str:
        """Return its path for what it names."""
        return self.path.format(**{self.names: named}, **WITHIN_A_JOB)


@cache
def operations() -> Sequence[Operation]:
    """Every such operation; a path parameter of another name has to be listed above."""
    return list(_operations())


def _operations() -> Iterator[Operation]:
    for path, methods in api_description()["paths"].items():
        for method, described in methods.items():
            names = [given["name"] for given in described.get("parameters", ()) if given["in"] == "path"]
            if not names or names[0] in OF_NO_TENANT:
                continue
            assert names[0] in NOWHERE, f"{method} {path}: whose is it?"
            assert set(names[1:]) <= WITHIN_A_JOB.keys(), path
            yield Operation(method.upper(), path, names[0], Scope(described["security"][0]["api_key"][0]))


@dataclass(frozen=True)
class Attempt:
    """A request, but for the id that it names."""

    operation: Operation
    method: str
    query: str
    headers: Mapping[str, str]

    async def by(self, owner: Owner, named: str) -> httpx2.Response:
        """Send it as a tenant."""
        body = BODIES.get(self.operation.path) if self.operation.method == "POST" else None
        return await owner.key.send(self.method, self.operation.at(named) + self.query, body, **self.headers)


def attempt(operation: Operation, draw: random.Random) -> Attempt:
    """Draw a form of the operation's request."""
    query = draw.choice(QUERIES.get(operation.path, ("",)))
    if operation.method == "POST":
        return Attempt(operation, "POST", query, draw.choice([{}, {"Idempotency-Key": f"key-{draw.random()}"}]))
    return Attempt(operation, draw.choice(["GET", "GET", "HEAD"]), query, draw.choice(FORMS))


def told(answer: httpx2.Response) -> tuple[Any, ...]:
    """Return everything that an answer tells, but for the id of its request."""
    body = answer.json() if answer.content else None
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    if body is not None:
        assert body.pop("request_id") == answer.headers["X-Request-ID"]
    return answer.status_code, headers, body


@pytest.fixture
async def tenants(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> AsyncIterator[Sequence[Owner]]:
    """Two tenants that made what they own under keys, by the reader's app, which stores submissions."""
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    submitting = asyncio.create_task(reader.app.state.services.submissions.run())  # type: ignore[attr-defined]
    yield await two_tenants(reader, seeds, rows)
    await end_tasks([submitting])


async def stored(rows: Any) -> Mapping[str, str]:
    """Return the rows of every table, as a digest of each."""
    digest = "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} AS t"
    return {name: await rows.fetchval(digest.format(name)) for (name,) in await rows.fetch(TABLES)}


async def test_a_thousand_random_pairs_of_an_operation_and_what_is_anothers(
    tenants: Sequence[Owner], rows: Any
) -> None:
    draw = random.Random(20_261_130)
    before = await stored(rows)
    nowhere: dict[object, tuple[Any, ...]] = {}
    tried = set()
    for _ in range(PAIRS):
        asking, owning = draw.sample(tenants, 2)
        operation = draw.choice(operations())
        theirs = attempt(operation, draw)
        named = draw.choice(owning.owned[operation.names])
        answer = told(await theirs.by(asking, named))
        form = (asking.mark, operation, theirs.method, theirs.query, theirs.headers.get("Accept"))
        if form not in nowhere:
            nowhere[form] = told(await theirs.by(asking, NOWHERE[operation.names]))
        assert answer[0] == operation.refused_with, (str(operation), named, answer)
        assert answer == nowhere[form], (str(operation), named)
        tried.add((operation, named))
    assert {operation for operation, _ in tried} == set(operations())
    assert len(tried) > PAIRS / 4
    assert await stored(rows) == before


async def test_each_of_these_operations_finds_something_of_its_own_tenants(tenants: Sequence[Owner]) -> None:
    """Or the test above would prove nothing."""
    owner, _ = tenants
    for operation in operations():
        if operation.scope in OF_INSTALLATION:
            continue
        asked = Attempt(operation, operation.method, QUERIES.get(operation.path, ("",))[0], {})
        statuses = {(await asked.by(owner, named)).status_code for named in owner.owned[operation.names]}
        assert statuses & {200, 202}, (str(operation), statuses)


def reads() -> Iterator[str]:
    """Yield the path of each read that is of a tenant, with the names that both tenants use."""
    for path, methods in api_description()["paths"].items():
        for needed in methods.get("get", {}).get("security", ()):
            if Scope(needed["api_key"][0]) not in OF_INSTALLATION and "execution_id" not in path:
                query = QUERIES.get(path, ("",))[0]
                yield path.format(job_id=SHARED, dataset=SHARED, **WITHIN_A_JOB) + query


async def test_nothing_crosses_where_both_use_the_same_names(tenants: Sequence[Owner]) -> None:
    for asking, other in permutations(tenants):
        telling = set()
        for path in reads():
            first = f"{path}{'&' if '?' in path else '?'}limit=1"
            page = (await other.key.get(first)).json()
            following = [
                f"{first}&{parameter}={page[member]}"
                for parameter, member in (("cursor", "next_cursor"), ("after", "next_token"))
                if page.get(member)
            ]
            for form in FORMS:
                for asked in (path, *following):
                    answer = await asking.key.get(asked, **form)
                    assert answer.status_code in {200, 406, 422}, (asked, answer.text)
                    assert other.mark not in f"{answer.text} {answer.headers}", (asked, form)
                    if asking.mark in answer.text:
                        telling.add((path.partition("?")[0], *form.values()))
        assert telling >= {
            *(("/jobs",), ("/executions",), ("/events",), ("/audit",), ("/datasets",), (f"/jobs/{SHARED}",)),
            *((f"/jobs/{SHARED}/executions", *form.values()) for form in FORMS),
            *((f"/datasets/{SHARED}/records", *form.values()) for form in FORMS),
        }


async def test_actions_on_a_shared_name_change_what_is_the_callers_own(tenants: Sequence[Owner], rows: Any) -> None:
    for asking, other in permutations(tenants):
        before = [await rows.fetch(of_tenant, other.tenant_no) for of_tenant in OF_ONE]
        own = (await asking.key.get(f"/jobs/{SHARED}")).json()
        again = await asking.key.post("/jobs", body_of(SHARED, asking.mark), **{"Idempotency-Key": f"key-{SHARED}"})
        assert again.headers["Idempotent-Replayed"] == "true"
        joined = await asking.key.post("/jobs", body_of(SHARED, asking.mark))
        for answer in (again, joined):
            assert answer.json()["job"]["created_at"] == own["created_at"], answer.text
        taken = await asking.key.post("/jobs", body_of(SHARED, other.mark))
        assert (taken.status_code, other.mark in taken.text) == (409, False), taken.text
        for operation in operations():
            if operation.method == "POST" and operation.names == "job_id":
                await asking.key.post(operation.at(SHARED), **{"Idempotency-Key": f"key-{operation}"})
        assert [await rows.fetch(of_tenant, other.tenant_no) for of_tenant in OF_ONE] == before
