"""The pages for operators: a person finds what is stuck, paused or dead there, and mends it."""

from collections.abc import Callable

from domain.scopes import Scope
from tests.domain.bodies import plain
from tests.support.access import make_key, make_tenant
from tests.support.dashboards import Dashboard
from tests.support.service import Process
from tests.support.waiting import eventually_async

HOSTILE = "<script>alert(1)</script>"


async def test_an_operator_pauses_a_region_and_resumes_what_waits_there(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    start_worker(database_url, redis_url, reconcile_seconds=0.2)
    tab = await dashboard.open("/ui/queue")
    await tab.see_text("Nothing is stuck")
    await tab.act("#pause-region-us-east summary")
    await tab.fill("#pause-region-us-east input", HOSTILE)
    await tab.press("Enter")
    await tab.see_text("Paused. What runs, ends")
    await tab.see("document.querySelector('#resume-region-us-east')")
    assert HOSTILE in await tab.text()
    body = plain(name=HOSTILE, regions=["us-east"], policy={"on_paused": "wait"})
    job = (await dashboard.client.post(body)).json()["job"]["id"]
    await tab.see(f"document.querySelector('#stuck ~ .scrolls').innerText.includes({job!r})")
    await dashboard.keeps_nobody_out(tab)
    await tab.act("#resume-region-us-east button")
    await tab.see("document.querySelector('#pause-region-us-east')")

    async def has_ended() -> bool:
        return (await dashboard.client.http.get(f"/jobs/{job}")).json()["status"] == "completed"

    await eventually_async(has_ended)
    await tab.see_text("Nothing is stuck")
    await tab.go(dashboard.client.process.url + "/ui/operations")
    assert HOSTILE in await tab.text()
    await dashboard.keeps_nobody_out(tab)


async def test_an_operator_drains_a_worker_and_sees_one_that_was_killed(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    tab = await dashboard.open("/ui/queue")
    await tab.see_text("No worker is alive")
    worker = start_worker(database_url, redis_url, heartbeat_seconds=0.2, reconcile_seconds=0.2)
    await tab.act("form[id^=drain-] button")
    await tab.see("document.querySelector('.state-drained')")
    await dashboard.keeps_nobody_out(tab)
    await tab.act("form[id^=resume-worker-] button")
    await tab.see("document.querySelector('form[id^=drain-]')")
    worker.kill()
    await dashboard.client.database.execute("UPDATE workers SET heartbeat_at = now() - interval '1 minute'")
    await tab.see("document.querySelector('.state-lost')")
    await tab.see_text("No worker is alive")


async def test_what_is_typed_stays_while_the_page_changes(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/queue")
    await tab.act("#pause-region-us-east summary")
    await tab.fill("#pause-region-us-east input", "half a reas")
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    await tab.see("!document.body.innerText.includes('an older look')")
    assert await tab.evaluate("document.querySelector('#pause-region-us-east input').value") == "half a reas"
    assert await tab.evaluate("document.activeElement.name") == "reason"


async def test_an_operator_replays_a_dead_letter(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    failing = start_worker(database_url, redis_url, echo_failure_rate=1)
    body = plain(models=[HOSTILE], policy={"max_attempts": 1})
    assert (await dashboard.client.post(body)).status_code == 202
    tab = await dashboard.open("/ui/queue/dead")
    await tab.see_text("echo_failure")
    assert HOSTILE in await tab.text()
    await dashboard.keeps_nobody_out(tab)
    failing.kill()
    start_worker(database_url, redis_url)
    await tab.fill("#error_code", "echo_failure")
    await tab.press_enter()
    await tab.act("form[data-bulk=replay] button")
    await tab.see_text("1 dead letter matches")
    await tab.act("#bulk-act")
    await tab.see_text("1 dead letter replayed")
    await tab.see_text("There are none")
    await tab.go(dashboard.client.process.url + "/ui/queue/dead?tenant=default&cursor=nonsense")
    await tab.see_text("cursor")


async def test_a_tenant_is_neither_offered_nor_shown_the_pages_of_operators(keyed_dashboard: Dashboard) -> None:
    await make_tenant(keyed_dashboard.client.database, "acme")
    scopes = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.RESULTS_READ, Scope.CONTROLS, Scope.METRICS)
    tab = await keyed_dashboard.sign_in(await make_key(keyed_dashboard.client.database, *scopes, tenant="acme"))
    for path in ("/ui/queue", "/ui/queue/dead", "/ui/operations", "/ui/operations/log", "/ui/keys"):
        assert not await tab.evaluate(f"!!document.querySelector('a[href=\"{path}\"]')")
        answer = await tab.evaluate(f"fetch({path!r}).then((got) => got.status)")
        assert answer == 403, path
