"""What is of the whole installation: shown over all tenants to those who may see it, and not to others."""

from typing import Any

import httpx2
import pytest

from api.authentication import Authenticator
from db.tenants import DEFAULT_TENANT_NO
from domain.scopes import Scope
from tests.support.access import AsKey, bearer, make_key, make_tenant
from tests.support.controls import exhausted
from tests.support.job_seeds import Seeds
from tests.support.metrics import fleet_value, scrape_samples
from tests.support.reading_app import replace_services

REASON = "Their words."


@pytest.fixture
def keyed(reader: httpx2.AsyncClient, seeds: Seeds) -> httpx2.AsyncClient:
    """The reader's app, which asks for keys."""
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    return reader


async def test_metrics_recount_the_jobs_of_every_tenant(keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await seeds.submit(tenant_no=await make_tenant(rows, "acme"))
    await seeds.run_all()
    await rows.execute("UPDATE waves SET total_batches = 9")
    keyed.headers.update(bearer(await make_key(rows, Scope.METRICS)))
    assert fleet_value(await scrape_samples(keyed), "breakwater_invariant_violations", invariant="waves_differ") == 1


async def test_stuck_work_of_every_tenant_is_in_the_queue(keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(tenant_no=await make_tenant(rows, "acme"))
    await rows.execute("UPDATE jobs SET queued_at = now() - interval '1 hour', created_at = now() - interval '1 hour'")
    queue = (await AsKey(keyed, await make_key(rows, Scope.OPERATE)).get("/queue")).json()
    assert [entry["job_id"] for entry in queue["stuck"]] == [job.id]


async def test_an_operators_page_links_to_jobs_of_its_own_tenant_only(
    keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await make_tenant(rows, "globex")
    for tenant_no in (DEFAULT_TENANT_NO, await make_tenant(rows, "acme")):
        await seeds.submit(job_id="nightly", tenant_no=tenant_no)
    await rows.execute("UPDATE jobs SET queued_at = now() - interval '1 hour', created_at = now() - interval '1 hour'")
    operators = {
        tenant: AsKey(keyed, await make_key(rows, Scope.OPERATE, tenant=tenant))
        for tenant in ("default", "acme", "globex")
    }
    for tenant, operator in operators.items():
        stuck = (await operator.get("/queue")).json()["stuck"]
        assert {(entry["tenant"], entry["job_id"]) for entry in stuck} == {("default", "nightly"), ("acme", "nightly")}
        assert "and 1 more" in (await operator.get("/ui/queue")).text, tenant
    await rows.execute("UPDATE jobs SET overdue_at = now() - interval '1 minute'")  # each is a row of its own then
    for tenant, operator in operators.items():
        page = (await operator.get("/ui/queue")).text
        assert page.count(">nightly<") == 2
        assert page.count('href="/ui/jobs/nightly"') == (tenant != "globex")
        assert all(f'<span class="hint">{name}</span>' in page for name in ("default", "acme"))


async def test_a_tenant_sees_that_something_is_paused_but_not_by_whom(keyed: httpx2.AsyncClient, rows: Any) -> None:
    operator = AsKey(keyed, await make_key(rows, Scope.OPERATE, Scope.JOBS_READ))
    tenant = AsKey(keyed, await make_key(rows, *(scope for scope in Scope if scope is not Scope.OPERATE)))
    await rows.execute(
        "UPDATE pools SET gate_until = now() + interval '1 hour', gate_code = 'busy', gate_detail = $1, gate_times = 1",
        REASON,
    )
    for path in ("/regions", "/providers"):
        first = (await operator.get(path)).json()["items"][0]["name"]
        assert (await operator.post(f"{path}/{first}/pause", {"reason": REASON})).status_code == 200
        shown, hidden = await operator.get(path), await tenant.get(path)
        assert shown.json()["items"][0]["reason"] == REASON
        assert REASON not in hidden.text
        assert "key:" in shown.text
        assert "key:" not in hidden.text
        seen = hidden.json()["items"][0]
        assert (seen["paused"], seen["changed_by"], seen["reason"]) == (True, None, None)
    assert {region["in_flight"] for item in hidden.json()["items"] for region in item["regions"]} == {None}


async def test_dead_letters_of_every_tenant_are_the_operators(
    keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    tenant_nos = {"default": DEFAULT_TENANT_NO, "acme": await make_tenant(rows, "acme")}
    other_scopes = (scope for scope in Scope if scope is not Scope.OPERATE)
    operator = AsKey(keyed, await make_key(rows, Scope.OPERATE))
    tenant = AsKey(keyed, await make_key(rows, *other_scopes, tenant="acme"))
    jobs = {name: await seeds.submit(tenant_no=number) for name, number in tenant_nos.items()}
    await seeds.plan()
    await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))

    letters = {letter["tenant"]: letter for letter in (await operator.get("/queue/dead")).json()["items"]}
    assert {name: letter["job_id"] for name, letter in letters.items()} == {name: job.id for name, job in jobs.items()}
    narrowed = (await operator.get("/queue/dead?tenant=acme")).json()["items"]
    assert narrowed == [letters["acme"]]
    for refused in (await tenant.get("/queue/dead"), await tenant.post(f"/queue/dead/{narrowed[0]['id']}/replay")):
        assert (refused.status_code, refused.json()["scope"]) == (403, Scope.OPERATE)

    # What the tenant has instead, under the id that the operator sees.
    [failed] = (await tenant.get("/executions?status=failed")).json()["items"]
    assert (failed["id"], failed["attempts"]) == (letters["acme"]["execution_id"], letters["acme"]["attempts"])
    assert failed["error"] == letters["acme"]["error"] | {"retryable": True}
    assert (await operator.post(f"/queue/dead/{narrowed[0]['id']}/replay")).json()["retried"] == 1
    assert (await tenant.get(f"/executions/{failed['id']}")).json()["status"] == "planned"
    assert [letter["tenant"] for letter in (await operator.get("/queue/dead")).json()["items"]] == ["default"]
    *_, event = (await tenant.get(f"/jobs/{jobs['acme'].id}/events")).json()["items"]
    assert (event["type"], event["data"]["filter"]["execution_id"]) == ("retried", failed["id"])
