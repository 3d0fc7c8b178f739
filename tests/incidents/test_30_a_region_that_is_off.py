"""Incident 30: APAC was off and specs still asked for it. It is refused with that reason; others proceed."""

from typing import Any

from tests.support.outcomes import all_ended, assert_audit
from tests.support.service import Client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

EVERYWHERE = ["US", "EU", "APAC"]


async def test_a_region_that_is_off_is_reported_at_submit_and_others_proceed(
    fleet: Fleet, connection: Any, own_client: Client
) -> None:
    fleet.start()
    paused = await own_client.http.post("/regions/APAC/pause", json={"reason": "Its provider is off."})
    assert (paused.status_code, paused.json()["paused"]) == (200, True)
    body = unique(regions=EVERYWHERE)
    for is_dry_run in (True, False):
        refused = await own_client.post(body, dry_run=is_dry_run)
        assert (refused.status_code, refused.json()["code"]) == (422, "region_paused")
        (error,) = refused.json()["errors"]
        assert (error["pointer"], error["region"]) == ("/regions/2", "asia-pacific")
        assert "leave it out" in error["detail"]
    assert await own_client.jobs(body["name"]) == []
    assert (await own_client.post({**body, "regions": EVERYWHERE[:2]})).status_code == 202
    await all_ended(connection)
    (job,) = await own_client.jobs(body["name"])
    assert (job["status"], job["completed"]) == ("completed", 2)
    await assert_audit(connection)


async def test_a_job_that_waits_for_it_runs_elsewhere_and_is_held_there(
    fleet: Fleet, connection: Any, own_client: Client
) -> None:
    fleet.start()
    http = own_client.http
    await http.post("/regions/APAC/pause")
    at = (await own_client.post(unique(regions=EVERYWHERE, policy={"on_paused": "wait"}))).headers["Location"]

    async def elsewhere_completed() -> bool:
        return bool((await http.get(at)).json()["progress"]["completed"] == 2)

    await eventually_async(elsewhere_completed, what="the other regions' cells completed")
    job = (await http.get(at)).json()
    assert (job["status"], job["progress"]["pending"], job["progress"]["running"]) == ("running", 1, 0)
    held = (await http.get(f"{at}/executions", params={"region": "APAC"})).json()["items"]
    assert [(cell["status"], cell["region"], cell["attempts"]) for cell in held] == [("planned", "asia-pacific", 0)]
    await http.post("/regions/APAC/resume")
    await all_ended(connection)
    assert (await http.get(at)).json()["status"] == "completed"
    await assert_audit(connection)
