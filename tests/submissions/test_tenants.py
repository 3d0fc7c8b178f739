"""Submissions of several tenants in one group: each is looked up, stored and replayed under its own tenant alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeAlias

import asyncpg
import httpx2
import pytest
from fastapi import Header
from structlog.testing import capture_logs

from api.app import create_app
from api.dependencies import tenant_of_request
from api.served_routes import ROUTES
from db.engine import Engine
from db.tenants import DEFAULT_TENANT_NO
from domain.tenant_names import DEFAULT_TENANT
from submissions.backlog import Backlog
from submissions.service import Submissions
from submissions.submission import Sender
from submissions.transaction import SubmissionTransaction
from tests.support.service import Json, unique

OTHER_TENANT_NO = 7
TENANTS = (DEFAULT_TENANT_NO, OTHER_TENANT_NO)
EACH = 40
SENDER = Sender("r-1", None, None)
Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SAME = pytest.mark.parametrize(
    ("changes", "key"),
    [({}, None), ({"id": "mine"}, None), ({"on_duplicate": "create"}, "one-key")],
    ids=["content", "id", "key"],
)


@pytest.fixture(autouse=True)
async def other_tenant(rows: Rows) -> None:
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES ($1, 'other')", OTHER_TENANT_NO)


@SAME
async def test_two_tenants_that_submit_the_same_at_the_same_moment_each_get_a_job_of_their_own(
    submissions: Submissions, rows: Rows, changes: Json, key: str | None
) -> None:
    body = unique(**changes)
    senders = [tenant_no for _ in range(EACH) for tenant_no in TENANTS]
    with capture_logs() as logs:
        responses = await asyncio.gather(
            *(
                submissions.submit(body, tenant=DEFAULT_TENANT, tenant_no=tenant_no, sender=SENDER, key=key)
                for tenant_no in senders
            )
        )
    assert [entry for entry in logs if entry["event"] == "submission_group_failed"] == []
    outcomes = Counter(zip(senders, (response.created_job_no is not None for response in responses), strict=True))
    assert outcomes == {
        (tenant_no, is_new): EACH - 1 if not is_new else 1 for tenant_no in TENANTS for is_new in (0, 1)
    }
    stored = await rows.fetch("SELECT tenant_no, job_no FROM jobs WHERE name = $1 ORDER BY tenant_no", body["name"])
    created = sorted(
        (tenant_no, response.created_job_no)
        for tenant_no, response in zip(senders, responses, strict=True)
        if response.created_job_no is not None
    )
    assert [tuple(row) for row in stored] == created
    ledger = await rows.fetch(
        "SELECT s.tenant_no, j.tenant_no AS owner FROM submissions AS s JOIN jobs AS j USING (job_no)"
    )
    assert Counter(map(tuple, ledger)) == {(tenant_no, tenant_no): EACH for tenant_no in TENANTS}
    keys = await rows.fetch("SELECT tenant_no, job_no FROM idempotency_keys ORDER BY tenant_no")
    assert [tuple(row) for row in keys] == (created if key else [])


OWNERS = """
SELECT j.tenant_no, s.tenant_no AS of_spec, l.tenant_no AS of_ledger, k.tenant_no AS of_key, j.id
FROM jobs AS j
JOIN specs AS s USING (job_no)
JOIN submissions AS l USING (job_no)
JOIN idempotency_keys AS k USING (job_no)
ORDER BY j.tenant_no
"""


@pytest.mark.parametrize("tenant_nos", [TENANTS, TENANTS[::-1]])
async def test_one_transaction_gives_each_row_of_a_group_to_its_own_tenant(
    submissions: Submissions, engine: Engine, rows: Rows, tenant_nos: tuple[int, int]
) -> None:
    """The same id, key and content, in one group whichever tenant comes first; then again: nothing crosses."""

    async def worker_no() -> int:
        return 1

    transaction = SubmissionTransaction(
        engine, worker_no=worker_no, keep_hours=1, recent_seconds=60, backlog=Backlog(10, is_shared=True)
    )
    body = unique(id="mine")
    group = [
        submissions.read(body, tenant=DEFAULT_TENANT, tenant_no=tenant_no, sender=SENDER, key="one-key")
        for tenant_no in tenant_nos
    ]
    stored = await transaction.store(group, lock_timeout="2s", waits={})
    created = {submission.tenant_no: response for submission, response in stored.answered}
    owned = await rows.fetch(OWNERS)
    assert [tuple(row) for row in owned] == [(tenant_no,) * 4 + ("mine",) for tenant_no in sorted(TENANTS)]
    job_nos = [row["job_no"] for row in await rows.fetch("SELECT job_no FROM jobs ORDER BY tenant_no")]
    assert [created[tenant_no].created_job_no for tenant_no in sorted(TENANTS)] == job_nos
    await rows.execute(
        "UPDATE jobs SET status = 'cancelled', cancelled = planned, finished_at = now() WHERE tenant_no = 7"
    )
    again = [
        submissions.read(body, tenant=DEFAULT_TENANT, tenant_no=tenant_no, sender=SENDER) for tenant_no in tenant_nos
    ]
    joined = await transaction.store(again, lock_timeout="2s", waits={})
    status = {submission.tenant_no: response.body["job"]["status"] for submission, response in joined.answered}
    assert status == {DEFAULT_TENANT_NO: "queued", OTHER_TENANT_NO: "cancelled"}
    replayed = await transaction.store(group, lock_timeout="2s", waits={})
    for submission, response in replayed.answered:
        assert response.is_replayed
        assert response.body["job"] == created[submission.tenant_no].body["job"]


async def tenant_in_header(tenant: Annotated[int, Header()]) -> int:
    return tenant


@asynccontextmanager
async def two_tenants_api() -> AsyncIterator[httpx2.AsyncClient]:
    """The whole API in this process; a header says the tenant, as a key will."""
    app = create_app()
    app.router.routes.clear()
    for routes in ROUTES:  # built for this app, so that it overrides what they depend on
        app.include_router(routes.router)
    app.dependency_overrides[tenant_of_request] = tenant_in_header
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture
async def api(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.setenv("BREAKWATER_DATABASE_URL", database_url)
    monkeypatch.setenv("BREAKWATER_REDIS_URL", redis_url)
    async with two_tenants_api() as client:
        yield client


@SAME
async def test_a_post_is_the_tenants_of_its_request(
    api: httpx2.AsyncClient, rows: Rows, changes: Json, key: str | None
) -> None:
    body = unique(**changes)
    keyed = {"Idempotency-Key": key} if key else {}

    async def post(tenant_no: int) -> Any:
        answer = await api.post("/jobs", json=body, headers={"tenant": str(tenant_no), **keyed})
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()["job"]

    jobs = dict(zip(TENANTS, await asyncio.gather(*map(post, TENANTS)), strict=True))
    again = dict(zip(TENANTS, await asyncio.gather(*map(post, TENANTS)), strict=True))
    assert again == jobs
    assert [row["tenant_no"] for row in await rows.fetch("SELECT tenant_no FROM jobs ORDER BY 1")] == list(TENANTS)
    for tenant_no in TENANTS:
        [listed] = (await api.get("/jobs", headers={"tenant": str(tenant_no)})).json()["items"]
        assert listed["id"] == jobs[tenant_no]["id"]
        assert listed["created_at"] == jobs[tenant_no]["created_at"]


async def test_a_scrape_recounts_the_jobs_of_every_tenant(api: httpx2.AsyncClient, rows: Rows) -> None:
    await api.post("/jobs", json=unique(), headers={"tenant": str(OTHER_TENANT_NO)})
    # A job that is called completed though its cells were never planned.
    await rows.execute("SET session_replication_role = replica")
    await rows.execute("UPDATE jobs SET status = 'completed', started_at = now(), finished_at = now(), completed = 1")

    async def violations(tenant_no: int) -> float:
        text = (await api.get("/metrics", headers={"tenant": str(tenant_no)})).text
        counts = [line.split() for line in text.splitlines() if line.startswith("breakwater_invariant_violations{")]
        assert counts
        return sum(float(count) for _, count in counts)

    for tenant_no in TENANTS:
        assert await violations(tenant_no) > 0
