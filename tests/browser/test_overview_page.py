"""The first page: current without a reload, and it says when it can't be."""

from collections.abc import Callable

from domain.scopes import Scope
from tests.domain.bodies import plain
from tests.support.access import bearer, make_key, make_tenant
from tests.support.dashboards import Dashboard
from tests.support.service import Process

HOSTILE = "<script>alert(1)</script>"
LINKS = "[...document.querySelectorAll('nav a')].map((link) => link.textContent.trim())"


async def test_the_overview_keeps_nobody_out(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui")
    await tab.see_text("Authentication is off")
    await dashboard.keeps_nobody_out(tab)


async def test_a_page_says_that_its_facts_may_be_old(
    dashboard: Dashboard, start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    tab = await dashboard.open("/ui")
    api = dashboard.client.process
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    api.kill()
    await tab.see_text("What you see may be old")
    start_api(database_url, redis_url, port=api.url.rsplit(":", 1)[1])
    await tab.see("!document.body.innerText.includes('What you see may be old')")
    assert "an older look" not in await tab.text()


async def test_a_page_stops_when_asked(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui")
    await tab.act("#live-switch")
    await tab.see_text("Stopped")
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    await tab.act("#live-switch")
    await tab.see("!document.body.innerText.includes('an older look')")


async def test_pages_that_a_key_may_not_open_are_not_offered(keyed_dashboard: Dashboard) -> None:
    key = await make_key(keyed_dashboard.client.database, Scope.METRICS)
    tab = await keyed_dashboard.sign_in(key)
    assert await tab.evaluate(LINKS) == ["Breakwater", "Overview", "API"]
    await keyed_dashboard.keeps_nobody_out(tab)


async def test_the_overview_shows_what_ended_and_what_needs_somebody(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    tab = await dashboard.open("/ui")
    await tab.see_text("No job is open")
    assert "curl http://127.0.0.1" in await tab.text()
    await tab.see_text("No worker is alive")
    rows, http = dashboard.client.database, dashboard.client.http
    await rows.execute(
        "INSERT INTO throughput SELECT now() - n * interval '1 minute', 0, 0, 0 FROM generate_series(2, 9) n"
    )
    start_worker(database_url, redis_url, reconcile_seconds=0.2)
    assert (await dashboard.client.post(plain(name="one"))).status_code == 202
    await tab.see("[...document.querySelectorAll('#minutes td:nth-child(2)')].some((cell) => cell.textContent === '1')")
    await http.post("/regions/us-east/pause", json={"reason": HOSTILE})
    await tab.see(f"document.querySelector('#live').innerText.includes({HOSTILE!r})")
    await tab.see("document.querySelector('#curve canvas')")
    await tab.see("!document.body.innerText.includes('No worker is alive')")
    await tab.see_text("0 violations")
    await dashboard.keeps_nobody_out(tab)
    await tab.click("a[href='/ui/queue#regions']")
    await tab.see("document.querySelector('#resume-region-us-east')")
    await tab.go(dashboard.client.process.url + "/ui")
    await tab.click("a[href^='/ui/jobs?status=completed&finished_after=']")
    await tab.see_text("one")


async def test_a_tenant_sees_its_own_numbers_and_none_of_the_installation(keyed_dashboard: Dashboard) -> None:
    rows = keyed_dashboard.client.database
    for tenant in ("acme", "globex"):
        await make_tenant(rows, tenant)
    keys = {
        tenant: await make_key(rows, Scope.JOBS_READ, Scope.JOBS_WRITE, tenant=tenant) for tenant in ("acme", "globex")
    }
    for number in range(2):
        body = plain(name=f"{number}")
        assert (
            await keyed_dashboard.client.http.post("/jobs", json=body, headers=bearer(keys["globex"]))
        ).status_code == 202
    tab = await keyed_dashboard.sign_in(keys["acme"])
    await tab.see_text("Jobs of acme")
    await tab.see_text("No job is open")
    for word in ("workers", "Duplicates", "Invariants", "globex"):
        assert word not in await tab.text()
    assert await tab.evaluate("fetch('/queue/activity').then((got) => got.status)") == 403
    await tab.click("form[action='/ui/sign-out'] button")
    other = await keyed_dashboard.sign_in(keys["globex"])
    await other.see("document.querySelector('a[href=\"/ui/jobs?status=queued\"] .figure').textContent === '2'")


async def test_a_problem_leads_to_the_page_of_its_code(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/jobs/none")
    await tab.click("main a[href='/problems/not_found']")
    await tab.see_text("It means")
    await tab.click("main a[href='/problems']")
    await tab.see_text("quota_exceeded")
    await dashboard.keeps_nobody_out(tab)


async def test_an_operator_without_jobs_sees_what_is_paused_and_no_jobs_of_its_own(keyed_dashboard: Dashboard) -> None:
    key = await make_key(keyed_dashboard.client.database, Scope.OPERATE)
    await keyed_dashboard.client.http.post("/regions/us-east/pause", headers=bearer(key))
    tab = await keyed_dashboard.sign_in(key)
    await tab.see_text("Region us-east is paused")
    await tab.see_text("Work of all tenants")
    assert "Jobs of" not in await tab.text()
