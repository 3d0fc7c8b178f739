"""The page of an inference job: why it waits, its cells as they end, a single cell, and what a person does about it."""

from collections.abc import Callable

import pytest

from domain.scopes import Scope
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.dashboards import Dashboard
from tests.support.driven_browser import Tab
from tests.support.jobs import job_body
from tests.support.service import Process

HOSTILE = "<script>document.title='owned'</script>"
MAKE_UNKNOWN = """
WITH ended AS (
    UPDATE executions
    SET status = 'unknown', output = NULL, is_complete = NULL, error_code = 'worker_lost', error_detail = $2,
        error_retryable = false
    WHERE job_no = (SELECT job_no FROM jobs WHERE id = $1) AND (model_no, question_no) = (0, 0)
)
UPDATE jobs SET status = 'failed', completed = completed - 1, unknown = unknown + 1 WHERE id = $1
"""


async def states(tab: Tab) -> list[str]:
    """The words of the grid's cells, row by row."""
    shown: list[str] = await tab.evaluate(
        "[...document.querySelectorAll('.grid .cell')].map((cell) => cell.getAttribute('aria-label'))"
    )
    return shown


async def see_all(tab: Tab, state: str, *, cells: int) -> None:
    """Wait until all cells of the grid are in a state."""
    await tab.see(f"document.querySelectorAll('.grid .cell.state-{state}').length === {cells}")


async def test_cells_turn_and_one_is_opened_and_what_failed_is_retried(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    questions = ["What is the capital of France?", HOSTILE]
    body = job_body(id="turning", name=HOSTILE, models=["a", HOSTILE, "a"], policy={"max_attempts": 1})
    await dashboard.client.post({**body, "questions": questions})
    tab = await dashboard.open("/ui/jobs/turning")
    await tab.see_text("Next to be planned.")
    assert await states(tab) == ["pending"] * 4
    await tab.see_text("dropped duplicate")

    failing = start_worker(database_url, redis_url, echo_failure_rate=1)
    await see_all(tab, "failed", cells=4)
    await tab.see_text("success_rate_missed")
    failing.kill()
    start_worker(database_url, redis_url)
    await tab.act("#retry-job button")
    await see_all(tab, "completed", cells=4)
    await tab.see_text("4 of 4 cells")
    assert await tab.evaluate("document.title") == f"{HOSTILE} · Breakwater"
    await dashboard.keeps_nobody_out(tab)

    await tab.evaluate("document.querySelector('a.cell').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):  # there is nothing further down
        await tab.press(key)
    assert await tab.evaluate("document.activeElement === [...document.querySelectorAll('a.cell')].at(-1)")
    await tab.press("Enter")
    await tab.see("document.querySelector('#drawer').open")
    drawn = await tab.evaluate("document.querySelector('#drawer').innerText")
    assert drawn.count(HOSTILE) >= 3  # the model, the question, and the echo of both
    assert "try 2" in drawn
    await tab.press("Escape")
    await tab.see("!document.querySelector('#drawer').open")
    cell = await dashboard.open(await tab.evaluate("document.querySelector('a.cell').getAttribute('href')"))
    await cell.see_text("a in us-east: What is the capital of France?")
    await dashboard.keeps_nobody_out(cell)
    await tab.click("a[href$='audit=true#audit']")
    await tab.see_text("It holds.")
    await tab.hold("*audit=true*")
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    await tab.send("Page.bringToFront")  # a hidden tab looks at nothing
    await tab.see("!document.body.innerText.includes('an older look')")  # a look that counts would be held up
    assert "It holds." in await tab.text()


async def test_an_unknown_cell_is_found_and_resolved(
    dashboard: Dashboard, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    start_worker(database_url, redis_url)
    await dashboard.client.post(job_body(id="lost", models=["a", "b"]))
    tab = await dashboard.open("/ui/jobs/lost")
    await see_all(tab, "completed", cells=2)
    async with dashboard.client.database.transaction():
        await dashboard.client.database.execute("SET LOCAL session_replication_role = replica")
        await dashboard.client.database.execute(MAKE_UNKNOWN.replace("$1", "'lost'").replace("$2", f"$${HOSTILE}$$"))
    await tab.see_text("1 cell ended ambiguously.")
    await tab.click("section.attention a")
    assert await tab.path() == "/ui/jobs/lost/cells?status=unknown"
    await tab.see_text(HOSTILE)
    await dashboard.keeps_nobody_out(tab)
    await tab.click(".cells a")
    await tab.evaluate("document.querySelector('#resolve-status').value = 'completed'")
    await tab.fill("#resolve-output", "Paris")
    await tab.act("#resolve button")
    await tab.see("document.querySelector('#cell .state-completed')")
    assert (await dashboard.client.http.get("/jobs/lost")).json()["progress"]["completed"] == 2
    assert dashboard.browser.console == []


async def test_a_held_job_says_why_and_goes_on_by_the_button(dashboard: Dashboard) -> None:
    await dashboard.client.http.post("/regions/us-east/pause", json={"reason": "maintenance"})
    await dashboard.client.post(job_body(id="held", policy={"on_paused": "wait"}))
    tab = await dashboard.open("/ui/jobs/held")
    await tab.see_text("its region is paused")
    await tab.see_text("maintenance")
    await dashboard.keeps_nobody_out(tab)
    await tab.act("#resume-hold button")
    await tab.see("!document.body.innerText.includes('its region is paused')")
    await tab.act("#cancel-job summary")
    await tab.fill("#cancel-job-reason", "not needed")
    await tab.act("#cancel-job form button")
    await tab.see("document.querySelector('.job-marks .state-cancelled')")
    await see_all(tab, "cancelled", cells=1)
    await tab.see_text("reason: not needed")
    assert dashboard.browser.console == []


async def test_very_many_cells_are_counted_and_looked_into(dashboard: Dashboard) -> None:
    await dashboard.client.post(job_body(id="many", models=50, questions=200))
    tab = await dashboard.open("/ui/jobs/many")
    assert await states(tab) == []
    assert await tab.evaluate("document.querySelectorAll('.counts .pair').length") == 50
    assert await tab.evaluate("document.querySelectorAll('#grid *').length") < 2000
    await dashboard.keeps_nobody_out(tab)
    await tab.click(".counts tbody tr:nth-child(7) a")
    assert await tab.path() == "/ui/jobs/many?model=model-6"
    assert await states(tab) == ["pending"] * 200
    await tab.fill("#grid-filter [name=first_question]", "191")
    await tab.fill("#grid-filter [name=questions]", "5")
    await tab.click("#grid-filter button")
    assert await states(tab) == ["pending"] * 5
    await tab.click("#grid a[href*='first_question=196']")
    await tab.see_text("What is 195 plus 195?")
    assert await states(tab) == ["pending"] * 5


@pytest.mark.parametrize("scopes", [(Scope.JOBS_READ,), (Scope.JOBS_READ, Scope.RESULTS_READ)])
async def test_what_a_key_may_not_do_is_not_offered(keyed_dashboard: Dashboard, scopes: tuple[Scope, ...]) -> None:
    rows = keyed_dashboard.client.database
    await make_tenant(rows, "acme")
    for tenant in ("default", "acme"):
        key = AsKey(keyed_dashboard.client.http, await make_key(rows, Scope.JOBS_WRITE, tenant=tenant))
        await key.post("/jobs", job_body(id=f"of-{tenant}"))
    await keyed_dashboard.client.age("of-acme", 3600)
    tab = await keyed_dashboard.sign_in(await make_key(rows, *scopes, tenant="acme"), "/ui/jobs/of-acme")
    assert await states(tab) == ["pending"]
    await tab.see_text("somebody with the scope operate sees")
    assert "No worker gave a sign of life" not in await tab.text()
    assert await tab.evaluate("document.querySelectorAll('#live form, #live button').length") == 0
    assert await tab.evaluate("!!document.querySelector('a.cell')") == (Scope.RESULTS_READ in scopes)
    await tab.go(f"{keyed_dashboard.client.process.url}/ui/jobs/of-default")
    await tab.see_text("There is no job with this id.")


async def test_an_operator_sees_why_a_job_of_its_tenant_is_stuck(keyed_dashboard: Dashboard) -> None:
    client = keyed_dashboard.client
    await make_tenant(client.database, "acme")
    other = AsKey(client.http, await make_key(client.database, Scope.JOBS_WRITE, tenant="acme"))
    await other.post("/jobs", job_body(id="same"))
    await client.age("same", 3600)
    own = AsKey(client.http, await make_key(client.database, Scope.JOBS_WRITE))
    await own.post("/jobs", job_body(id="same", name="not yet"))
    tab = await keyed_dashboard.sign_in(await make_key(client.database), "/ui/jobs/same")
    await tab.see_text("not yet")
    assert "No worker gave a sign of life" not in await tab.text()  # of the other tenant's
    await client.age("same", 3600)
    await tab.see_text("No worker gave a sign of life")
    await keyed_dashboard.keeps_nobody_out(tab)
