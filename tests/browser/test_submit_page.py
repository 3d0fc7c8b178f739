"""Somebody writes a spec in the form, is told what it would do, and submits it."""

import json

from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.dashboards import Dashboard
from tests.support.driven_browser import Tab

PREVIEW = "document.querySelector('#preview').innerText"
SPEC = "JSON.parse(document.querySelector('#spec').value)"
LONG = "1234567890123456789"
"""A number that JavaScript would round."""
HOSTILE = "<script>document.title = 'taken'</script>"


async def sees_plan(tab: Tab, text: str) -> None:
    await tab.see(f"{PREVIEW}.includes({text!r})")


async def test_somebody_fills_in_the_form_and_submits(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/submit")
    await tab.fill("#name", HOSTILE)
    await tab.fill("#models", "m-1\nm-2\nm-1")
    await tab.fill("#questions", f"first\n{HOSTILE}")
    await sees_plan(tab, "Still needed: regions.")
    assert await tab.evaluate("document.querySelector('#send').disabled")
    await tab.act("#regions input[value='us-east']")
    await tab.act("#regions input[value='eu-west']")
    await sees_plan(tab, "8 cells")
    await tab.evaluate("document.querySelector('#fields details').open = true")
    await tab.fill("[id='policy.min_success_rate']", "7")
    await sees_plan(tab, "/policy/min_success_rate")
    await dashboard.keeps_nobody_out(tab)
    assert await tab.evaluate("document.querySelector('#send').disabled")
    assert await tab.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    await tab.fill("[id='policy.min_success_rate']", "")
    await sees_plan(tab, "8 cells")
    await sees_plan(tab, "dropped, named twice: m-1")
    await sees_plan(tab, "A new job.")
    assert await tab.evaluate(SPEC) == {
        "name": HOSTILE,
        "models": ["m-1", "m-2", "m-1"],
        "questions": ["first", HOSTILE],
        "regions": ["us-east", "eu-west"],
    }
    await dashboard.keeps_nobody_out(tab)
    assert (await dashboard.client.http.get("/jobs")).json()["items"] == []
    await tab.click("#send")
    [job] = (await dashboard.client.http.get("/jobs")).json()["items"]
    assert await tab.path() == f"/ui/jobs/{job['id']}"
    again = await dashboard.open("/ui/submit")
    await again.fill("#spec", (await dashboard.client.http.get(f"/jobs/{job['id']}")).text[:-1])  # no JSON
    await again.see_text("The JSON below can't be read")
    assert await again.evaluate("document.querySelector('#name').disabled")
    await again.fill("#spec", json.dumps({"name": HOSTILE, "kind": "import"}))
    await sees_plan(again, "/record_types")
    assert await again.title() == "Submit a job · Breakwater"


async def test_what_the_fields_can_not_say_is_kept(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/submit")
    given = (
        '{"models": [{"id": "m-1", "provider": "hybrid"}], "regions": ["us-east"], "questions": ["one"],'
        f' "parameters": {{"max_tokens": 5}}, "metadata": {{"run": {LONG}}}}}'
    )
    await tab.fill("#spec", given)
    await tab.see_text("The JSON says more than these fields can: models.")
    await tab.fill("#name", "changed")
    written = await tab.evaluate("document.querySelector('#spec').value")
    assert f'"run": {LONG}' in written
    assert '"provider": "hybrid"' in written
    await sees_plan(tab, "1 cell")
    await tab.click("#send")
    [job] = (await dashboard.client.http.get("/jobs?name=changed")).json()["items"]
    assert f'"run":{LONG}' in (await dashboard.client.http.get(f"/jobs/{job['id']}")).text.replace(" ", "")


async def test_a_repeated_submission_joins_and_says_so(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui/submit")
    await tab.act("[data-example]")
    await sees_plan(tab, "A new job.")
    send = "document.querySelector('#send')"
    await tab.evaluate(f"{send}.click(); {send}.click()")
    await tab.see("location.pathname.startsWith('/ui/jobs/')")
    assert len((await dashboard.client.http.get("/jobs")).json()["items"]) == 1
    again = await dashboard.open("/ui/submit")
    await again.act("[data-example]")
    await sees_plan(again, "No new job")


async def test_a_key_that_may_not_submit_is_offered_no_form(keyed_dashboard: Dashboard) -> None:
    reader = await make_key(keyed_dashboard.client.database, Scope.JOBS_READ)
    tab = await keyed_dashboard.sign_in(reader)
    assert "Submit" not in await tab.text()
    await tab.go(f"{keyed_dashboard.client.process.url}/ui/submit")
    await tab.see_text("scope_missing")


async def test_a_writer_submits_with_the_token_of_its_session(keyed_dashboard: Dashboard) -> None:
    """It may not read jobs: neither limits and pauses are told to it, nor is it led to a page that it can't open."""
    client = keyed_dashboard.client
    operator = AsKey(client.http, await make_key(client.database, Scope.OPERATE))
    assert (await operator.post("/regions/eu-west/pause")).status_code == 200
    limits = KeyLimits(cells_per_day=5)
    writer = await make_key(client.database, Scope.JOBS_WRITE, limits=limits)
    tab = await keyed_dashboard.sign_in(writer, "/ui/submit")
    assert "paused" not in await tab.text_of("#regions")
    assert "cells per day" not in await tab.text()
    await tab.act("[data-example]")
    await sees_plan(tab, "1 cell")
    await tab.evaluate("document.querySelector('#send').click()")
    await tab.see_text("Submitted: job ")
    assert await tab.path() == "/ui/submit"
    assert await client.database.fetchval("SELECT count(*) FROM jobs") == 1
    reader = await make_key(client.database, Scope.JOBS_WRITE, Scope.JOBS_READ, limits=limits)
    await tab.click("header form button")
    await tab.go(f"{client.process.url}/ui/sign-in?next=/ui/submit")
    await tab.type(reader)
    await tab.press_enter()
    assert "paused" in await tab.text_of("#regions")
    assert "cells per day" in await tab.text()
