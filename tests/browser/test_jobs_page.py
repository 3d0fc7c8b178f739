"""The list of jobs: filters in an address that can be shared, pages, and what stands there changes by itself."""

from domain.scopes import Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.dashboards import Dashboard
from tests.support.driven_browser import Tab
from tests.support.jobs import job_body

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
NAMES = "[...document.querySelectorAll('.job-name a')].map((link) => link.textContent)"


async def names(tab: Tab) -> list[str]:
    """The names of the jobs that the page lists, from top to bottom."""
    shown: list[str] = await tab.evaluate(NAMES)
    return shown


async def test_jobs_are_found_by_filters_that_stand_in_the_address(dashboard: Dashboard) -> None:
    client = dashboard.client
    await client.post(job_body(id="hostile", name=HOSTILE, metadata={"team": "search"}))
    await client.post(job_body(id="nightly", name="nightly-1", questions=2, metadata={"team": "ads"}))
    await client.post(job_body(id="given-up", name="nightly-2", questions=3))
    await client.cancel("given-up")

    tab = await dashboard.open("/ui/jobs")
    assert await names(tab) == ["nightly-2", "nightly-1", HOSTILE]
    assert await tab.evaluate("document.title") == "Jobs · Breakwater"
    await tab.see_text("0 of 3 cells, ⊘ 3 cancelled")
    await dashboard.keeps_nobody_out(tab)

    for state in ("queued", "cancelled"):
        await tab.act(f"input[value={state}]")
    await tab.fill("input[name=name_prefix]", "nightly")
    await tab.click(".job-filters button")
    assert await tab.path() == "/ui/jobs?status=queued,cancelled&name_prefix=nightly"
    assert await names(tab) == ["nightly-2", "nightly-1"]
    shared = await dashboard.open(await tab.path())
    assert await names(shared) == ["nightly-2", "nightly-1"]
    assert await shared.evaluate("document.querySelectorAll('input:checked').length") == 2

    await tab.act("summary")
    await tab.fill("input[name=metadata]", "team = ads")
    await tab.click(".job-filters button")
    assert (await tab.path()).endswith("&metadata.team=ads")
    assert await names(tab) == ["nightly-1"]
    assert await tab.evaluate("document.querySelector('details').open")
    await tab.fill("input[name=created_after]", "yesterday")
    await tab.click(".job-filters button")
    await tab.see_text("`created_after`: Give a moment such as 2026-01-31T12:00:00Z.")
    assert await tab.evaluate("document.querySelector('input[name=created_after]').value") == "yesterday"
    assert dashboard.browser.console == []


async def test_the_list_turns_pages_and_shows_new_jobs_by_itself(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/jobs")
    await tab.see_text("There are no jobs yet.")
    for number in range(3):
        await dashboard.client.post(job_body(name=f"job {number}", questions=number + 1))
    await tab.see(f"({NAMES}).length === 3")
    await tab.go(f"{dashboard.client.process.url}/ui/jobs?limit=2")
    assert await names(tab) == ["job 2", "job 1"]
    await tab.click("a[rel=next]")
    assert await names(tab) == ["job 0"]
    await tab.click(".pages a")
    assert await tab.path() == "/ui/jobs?limit=2"


async def test_all_that_match_are_cancelled_and_none_that_came_later(dashboard: Dashboard) -> None:
    client = dashboard.client
    for number in range(3):
        await client.post(job_body(id=f"night-{number}", name="nightly", questions=number + 1))
    await client.post(job_body(id="other", name="other"))
    tab = await dashboard.open("/ui/jobs")
    assert not await tab.evaluate("!!document.querySelector('[data-bulk]')")  # all jobs there are is no filter
    await tab.go(f"{client.process.url}/ui/jobs?name_prefix=night")
    second = await dashboard.open("/ui/jobs?name_prefix=night&status=queued")
    for each in (tab, second):
        await each.act("[data-bulk=cancel] button")
        await each.see_text("3 jobs match as of ")
    await dashboard.keeps_nobody_out(tab)
    await client.post(job_body(id="night-late", name="nightly", questions=9))
    await tab.fill("#bulk-reason", "no more nights")
    await tab.act("#bulk-act")
    await tab.see_text("3 jobs cancelled.")
    await second.act("#bulk-act")
    await second.see_text("0 jobs cancelled. Left as they are: 3 ")
    found = (await client.http.get("/jobs")).json()["items"]
    assert {job["id"]: job["status"] for job in found} == {
        **{f"night-{number}": "cancelled" for number in range(3)},
        **dict.fromkeys(("other", "night-late"), "queued"),
    }
    event = (await client.http.get("/jobs/night-0/events")).json()["items"][-1]
    assert (event["type"], event["data"]["reason"]) == ("cancelled", "no more nights")
    assert dashboard.browser.console == []


async def test_a_tenant_sees_its_own_jobs(keyed_dashboard: Dashboard) -> None:
    rows = keyed_dashboard.client.database
    await make_tenant(rows, "acme")
    for tenant in ("default", "acme"):
        key = AsKey(keyed_dashboard.client.http, await make_key(rows, Scope.JOBS_WRITE, tenant=tenant))
        assert (await key.post("/jobs", job_body(name=f"of {tenant}"))).status_code == 202
    reader = await make_key(rows, Scope.JOBS_READ, tenant="acme")
    tab = await keyed_dashboard.sign_in(reader, "/ui/jobs?limit=50")
    assert await names(tab) == ["of acme"]
    await tab.go(f"{keyed_dashboard.client.process.url}/ui/jobs?status=queued")
    assert not await tab.evaluate("!!document.querySelector('[data-bulk]')")
