"""A group of submissions is of one tenant: it is looked up, stored and replayed under that one's number alone."""

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
from db.engine import Engine
from db.tenants import DEFAULT_TENANT_NO
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
            *(submissions.submit(body, tenant_no=tenant_no, sender=SENDER, key=key) for tenant_no in senders)
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


async def test_a_group_of_two_tenants_is_refused_and_nothing_stored(
    submissions: Submissions, engine: Engine, rows: Rows
) -> None:
    async def worker_no() -> int:
        return 1

    transaction = SubmissionTransaction(engine, worker_no=worker_no, keep_hours=1, recent_seconds=60, backlog=10)
    group = [submissions.read(unique(), tenant_no=tenant_no, sender=SENDER) for tenant_no in TENANTS]
    with pytest.raises(ValueError, match="one tenant"):
        await transaction.store(group, lock_timeout="2s", waits={})
    assert await rows.fetchval("SELECT count(*) FROM jobs") == 0


async def tenant_in_header(tenant: Annotated[int, Header()]) -> int:
    return tenant


@asynccontextmanager
async def two_tenants_api() -> AsyncIterator[httpx2.AsyncClient]:
    """The whole API in this process; a header says the tenant, as a key will."""
    app = create_app()
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
async def test_a_post_is_the_tenants_of_its_request(api: httpx2.AsyncClient, changes: Json, key: str | None) -> None:
    body = unique(**changes)
    keyed = {"Idempotency-Key": key} if key else {}

    async def post(tenant_no: int) -> Any:
        answer = await api.post("/jobs", json=body, headers={"tenant": str(tenant_no), **keyed})
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()["job"]

    jobs = dict(zip(TENANTS, await asyncio.gather(*map(post, TENANTS)), strict=True))
    again = dict(zip(TENANTS, await asyncio.gather(*map(post, TENANTS)), strict=True))
    assert again == jobs
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
