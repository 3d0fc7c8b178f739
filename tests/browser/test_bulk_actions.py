"""Actions over a filter in a browser: what was confirmed goes on as it was confirmed, whatever happens meanwhile."""

from tests.support.dashboards import Dashboard
from tests.support.jobs import job_body

ON_THE_WAY = {"done": 1, "skipped": {}, "left": 2}
BUSY = {"title": "Overloaded", "detail": "Too much waits."}


async def test_a_confirmed_action_goes_on_as_confirmed_through_other_dry_runs_and_faults(dashboard: Dashboard) -> None:
    client = dashboard.client
    for number in range(3):
        await client.post(job_body(id=f"night-{number}", name="nightly", questions=number + 1))
    tab = await dashboard.open("/ui/jobs?name_prefix=night")
    await tab.hold("*/jobs/*as_of=*")
    await tab.act("[data-bulk=cancel] button")
    await tab.see_text("3 jobs match as of ")
    await tab.fill("#bulk-reason", "no more nights")
    await tab.act("#bulk-act")
    first = await tab.held()

    await tab.act("[data-bulk=retry] button")
    await tab.see("document.querySelector('#bulk-act').textContent.startsWith('Retry')")
    assert await tab.evaluate("document.querySelector('#bulk-reason').value") == ""
    await first.answer(200, ON_THE_WAY)
    second = await tab.held()
    await tab.see_text("1 job cancelled. 2 to go")
    await second.answer(503, BUSY, Retry_After="1")
    third = await tab.held()
    await third.cut()
    await tab.see("document.querySelector('.bulk-run button').checkVisibility()")
    await tab.act("#bulk [method=dialog] button")
    await tab.act(".bulk-run button")
    fourth = await tab.held()
    await fourth.let_go()
    await tab.see_text("3 jobs cancelled.")
    assert not await tab.evaluate("document.querySelector('.bulk-run button').checkVisibility()")
    sent = [each.request for each in (first, second, third, fourth)]
    assert {(each["url"], each["postData"]) for each in sent} == {(sent[0]["url"], '{"reason":"no more nights"}')}
    assert "/jobs/cancel?" in sent[0]["url"]
    assert first.key != second.key == third.key == fourth.key
    for number in range(3):
        assert (await client.http.get(f"/jobs/night-{number}")).json()["status"] == "cancelled"


async def test_a_dry_run_that_ends_later_doesn_t_change_an_open_question(dashboard: Dashboard) -> None:
    await dashboard.client.post(job_body(id="night", name="nightly"))
    tab = await dashboard.open("/ui/jobs?name_prefix=night")
    await tab.hold("*/jobs/retry*")
    await tab.act("[data-bulk=retry] button")
    slow = await tab.held()
    await tab.act("[data-bulk=cancel] button")
    await tab.see_text("1 job matches as of ")
    await slow.answer(200, {"matched": 7, "as_of": "later"})
    await tab.see("!document.querySelector('[data-bulk=retry] button').disabled")
    assert await tab.text_of("#bulk-act") == "Cancel this one"
    await tab.act("#bulk [method=dialog] button")
    await tab.see_text("7 jobs match as of ")
    assert await tab.text_of("#bulk-act") == "Retry these 7"
