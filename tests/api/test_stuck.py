"""Stuck work in GET /queue: the reason of each piece, and the request that a person may send about it."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.support.job_seeds import WORKER_ID, Seeds

LONG_AGO = "now() - interval '2 hours'"


async def stuck(reader: httpx2.AsyncClient) -> list[Any]:
    answer = await reader.get("/queue")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["stuck"])


async def age(rows: Any) -> None:
    """Let everything that waits have waited for hours."""
    await rows.execute(f"UPDATE ready SET queued_at = {LONG_AGO}, not_before = {LONG_AGO}")
    await rows.execute(
        f"UPDATE jobs SET created_at = {LONG_AGO}, queued_at = {LONG_AGO},"
        f" overdue_at = overdue_at + ({LONG_AGO} - queued_at) WHERE status = 'queued'"
    )


def said(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    return entry["reason"], entry["action"] and entry["action"]["path"]


@pytest.mark.parametrize("path", ["/regions/us-east", "/providers/echo"])
async def test_paused_work_names_the_pause_to_resume(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, path: str
) -> None:
    await seeds.submit()
    await seeds.plan()
    await reader.post(f"{path}/pause")
    await age(rows)
    [entry] = await stuck(reader)
    assert said(entry) == ("paused", f"{path}/resume")
    assert entry["detail"].startswith(path.replace("/regions/", "Region ").replace("/providers/", "Provider "))
    assert entry["action"]["method"] == "POST"
    assert (await reader.post(entry["action"]["path"])).status_code == 200
    assert said((await stuck(reader))[0]) == ("workers_busy", None)


async def test_two_pauses_are_both_reported(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await seeds.submit()
    await seeds.plan()
    for path in ("/regions/us-east", "/providers/echo"):
        await reader.post(f"{path}/pause")
    await age(rows)
    [entry] = await stuck(reader)
    assert said(entry) == ("paused", "/regions/us-east/resume")
    assert entry["detail"].startswith("Region us-east and provider echo are paused")
    assert "resume both" in entry["next"]


async def test_a_pause_is_the_reason_even_without_workers(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    held = await seeds.submit()
    await seeds.plan()
    await seeds.claim()
    await seeds.submit()
    await seeds.plan()
    await reader.post("/regions/us-east/pause")
    await age(rows)
    await rows.execute("UPDATE batches SET lease_until = now() - interval '1 hour' WHERE status = 'running'")
    await rows.execute(f"UPDATE workers SET heartbeat_at = {LONG_AGO}")
    found = await stuck(reader)
    assert len(found) == 2
    assert held.id in {item["job_id"] for item in found}
    assert {said(item) for item in found} == {("paused", "/regions/us-east/resume")}


async def test_paused_work_hides_no_other_work(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    seeds.batch_cells = 1
    for _ in range(8):
        await seeds.submit(models=[f"m-{n}" for n in range(8)], regions=["EU"])
    other = await seeds.submit()
    await seeds.plan()
    queued = await seeds.submit()
    await reader.post("/regions/EU/pause")
    await age(rows)
    await rows.execute("UPDATE ready SET queued_at = now() - interval '1 hour', turn = 1000 WHERE region = 'us-east'")
    found = await stuck(reader)
    assert len(found) == 50
    assert [(item["job_id"], item["reason"]) for item in found[:2]] == [
        (queued.id, "workers_busy"),
        (other.id, "workers_busy"),
    ]
    assert {item["reason"] for item in found[2:]} == {"paused"}


async def test_an_open_circuit_breaker_says_why_and_until_when(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await seeds.submit()
    await seeds.plan()
    await age(rows)
    await rows.execute(
        "UPDATE pools SET gate_until = '2030-01-31T12:00:00Z', gate_code = 'rate_limited', gate_times = 1"
        " WHERE provider = 'echo' AND region = 'us-east'"
    )
    [entry] = await stuck(reader)
    assert said(entry) == ("gate_closed", None)
    assert entry["detail"] == "Provider echo took no more calls in us-east (rate_limited)."
    assert entry["next"].startswith("From 2030-01-31T12:00:00Z on one call is let through")


async def test_a_circuit_breaker_of_another_pool_is_no_reason(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await seeds.submit()
    await seeds.plan()
    await age(rows)
    await rows.execute(
        "INSERT INTO pools (provider, region, gate_until, gate_code, gate_times)"
        " VALUES ('echo', 'eu-west', now(), 'rate_limited', 1), ('other', 'us-east', now(), 'rate_limited', 1)"
        " ON CONFLICT (provider, region) DO UPDATE"
        " SET gate_until = excluded.gate_until, gate_code = excluded.gate_code, gate_times = excluded.gate_times"
    )
    assert [said(entry) for entry in await stuck(reader)] == [("workers_busy", None)]


async def test_work_that_every_worker_leaves_since_it_is_drained(reader, seeds, rows) -> None:
    await seeds.submit()
    await rows.execute("UPDATE jobs SET queued_at = now() - interval '1 hour', created_at = now() - interval '1 hour'")
    await rows.execute("UPDATE workers SET is_drained = true WHERE id = $1", WORKER_ID)
    [entry] = await stuck(reader)
    assert said(entry) == ("workers_drained", f"/queue/workers/{WORKER_ID}/resume")
    await reader.post(entry["action"]["path"])
    assert [each["reason"] for each in await stuck(reader)] == ["workers_busy"]


@pytest.mark.parametrize(("calls", "reason"), [(3, "limit_reached"), (2, "workers_busy")])
async def test_a_pool_without_room_is_reported(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, calls: int, reason: str
) -> None:
    await seeds.submit()
    await seeds.plan()
    await seeds.claim()
    await seeds.submit()
    await seeds.plan()
    await age(rows)
    await rows.execute("UPDATE pools SET max_concurrent = 3 WHERE provider = 'echo' AND region = 'us-east'")
    await rows.execute("UPDATE batches SET slots = $1 WHERE status = 'running'", calls)
    [entry] = await stuck(reader)
    assert said(entry) == (reason, None)
    if reason == "limit_reached":
        assert entry["detail"] == "3 calls of provider echo in us-east are in flight, and 3 may be."
        await rows.execute("UPDATE batches SET lease_until = now() WHERE status = 'running'")
        assert {entry["reason"] for entry in await stuck(reader)} == {"workers_busy", "lease_expired"}


async def test_work_that_every_worker_lacks_the_key_for_says_which(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    await seeds.submit()
    await seeds.plan()
    await age(rows)
    lacking = '[{"name": "providers.echo", "reason": "set CHAT_KEY."}]'
    await rows.execute("UPDATE workers SET not_served = $1", lacking)
    [entry] = await stuck(reader)
    assert said(entry) == ("not_served", None)
    assert "set CHAT_KEY." in entry["detail"]
    await rows.execute(
        "INSERT INTO workers (id, role, pid, host, metrics, heartbeat_at)"
        " SELECT 'with-the-key', role, pid, host, metrics, now() FROM workers WHERE role = 'worker' LIMIT 1"
    )
    assert said((await stuck(reader))[0]) == ("workers_busy", None)


async def test_a_job_at_its_own_limit_is_reported(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    seeds.batch_cells = 1
    full = await seeds.submit(questions=["One?", "Two?"], policy={"max_concurrent": 1})
    other = await seeds.submit()
    await seeds.plan()
    await rows.execute(
        "INSERT INTO job_limits (job_no, max_concurrent) VALUES ($1, 1) ON CONFLICT DO NOTHING", full.job_no
    )
    await rows.execute(
        "UPDATE batches SET status = 'running', lease_until = now() + interval '1 hour', holder = 1, slots = 1,"
        " queued_at = now(), started_at = now() WHERE job_no = $1 AND batch_no = 1",
        full.job_no,
    )
    await age(rows)
    found = {entry["job_id"]: entry for entry in await stuck(reader)}
    assert {job_id: said(item) for job_id, item in found.items()} == {
        full.id: ("limit_reached", None),
        other.id: ("workers_busy", None),
    }
    assert "of the job (its policy.max_concurrent)" in found[full.id]["detail"]


async def test_work_past_its_queue_timeout_is_shown_as_about_to_end(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    planned = await seeds.submit()
    await seeds.plan()
    await rows.execute("UPDATE batches SET overdue_at = now() - interval '1 s'")
    queued = await seeds.submit(policy={"queue_timeout_seconds": 60})
    patient = await seeds.submit(policy={"queue_timeout_seconds": 86_400})
    await age(rows)
    found = {entry["job_id"]: said(entry) for entry in await stuck(reader)}
    assert found == {
        planned.id: ("overdue", None),
        queued.id: ("overdue", None),
        patient.id: ("workers_busy", f"/jobs/{patient.id}/coordinate"),
    }
    await rows.execute(f"UPDATE workers SET heartbeat_at = {LONG_AGO}")
    overdue = [entry["next"] for entry in await stuck(reader) if entry["reason"] == "overdue"]
    assert [text.endswith("No worker is alive: start one.") for text in overdue] == [True, True]


async def test_an_envelope_may_be_published_for_a_queued_job(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit()
    await age(rows)
    [entry] = await stuck(reader)
    assert said(entry) == ("workers_busy", f"/jobs/{job.id}/coordinate")
    assert (await reader.post(entry["action"]["path"])).status_code == 202


async def test_a_lease_that_ran_out_may_be_released(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.claim()
    await rows.execute("UPDATE batches SET lease_until = now() - interval '1 hour'")
    [entry] = await stuck(reader)
    assert said(entry) == ("lease_expired", f"/jobs/{job.id}/batches/1/release")


async def test_waiting_work_is_listed_by_provider_and_region(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit(regions=["us-east", "eu-west", "asia-pacific"])
    await seeds.plan()
    await rows.execute("UPDATE ready SET provider = 'another' WHERE region = 'eu-west'")
    await age(rows)
    found = [(entry["job_id"], entry["provider"], entry["region"]) for entry in await stuck(reader)]
    assert sorted(found) == [
        (job.id, "another", "eu-west"),
        (job.id, "echo", "asia-pacific"),
        (job.id, "echo", "us-east"),
    ]


async def test_hundreds_that_wait_in_a_paused_region_hide_nothing(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    for _ in range(60):
        await seeds.submit()
    free = await seeds.submit(regions=["eu-west"])
    await seeds.plan()
    await reader.post("/regions/us-east/pause")
    await age(rows)
    found = await stuck(reader)
    assert (found[0]["job_id"], found[0]["reason"]) == (free.id, "workers_busy")
    assert [item["reason"] for item in found[1:]] == ["paused"] * 49
