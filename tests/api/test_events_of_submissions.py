"""A job's timeline begins with its submission, and has each POST that was answered with it while it was open."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from db.submission_events import write_late_events
from runtime.tasks import end_tasks
from tests.support.job_seeds import Seeds
from tests.support.service import unique
from tests.support.waiting import eventually_async

WRITTEN = "SELECT job_no, event_no, type, position FROM events ORDER BY job_no, event_no"
JOINED = "SELECT count(*) FROM submissions WHERE outcome IN ('joined', 'replayed')"
Rows = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def http(reader: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an app that stores submissions."""
    submitting = asyncio.create_task(reader.app.state.services.submissions.run())  # type: ignore[attr-defined]
    yield reader
    await end_tasks([submitting])


async def timeline(http: httpx2.AsyncClient, job_id: str) -> list[Any]:
    items: list[Any] = (await http.get(f"/jobs/{job_id}/events", params={"limit": 200})).json()["items"]
    assert [item["id"] for item in items] == list(range(1, len(items) + 1))
    return items


async def test_a_timeline_has_each_request_that_was_answered_with_the_job(
    http: httpx2.AsyncClient, seeds: Seeds
) -> None:
    body, key = unique(id="mine"), {"Idempotency-Key": "k"}
    answers = [await http.post("/jobs", json=body, headers=headers) for headers in (key, {}, key)]
    assert (await http.post("/jobs", json={**body, "name": "other"})).status_code == 409
    await seeds.plan()
    items = await timeline(http, "mine")
    assert [(item["type"], item["source"]) for item in items] == [
        *[("submitted", "api:127.0.0.1")] * 3,
        ("coordinated", "initial"),
    ]
    assert [item["data"] for item in items[:3]] == [
        {"outcome": outcome, "reason": reason, "matched_on": on, "request_id": answer.headers["X-Request-ID"]}
        for (outcome, reason, on), answer in zip(
            [("created", "new", None), ("joined", "same_id", "id"), ("replayed", "same_key", "idempotency_key")],
            answers,
            strict=True,
        )
    ]


async def test_the_last_event_of_a_job_that_has_ended_stays_its_end(http: httpx2.AsyncClient, seeds: Seeds) -> None:
    body = unique()
    job_id = (await http.post("/jobs", json=body)).json()["job"]["id"]
    await seeds.run_all()
    assert (await http.post("/jobs", json=body)).json()["outcome"] == "joined"
    assert [item["type"] for item in await timeline(http, job_id)] == ["submitted", "coordinated", "finished"]


async def test_requests_of_one_group_have_their_numbers_and_positions_in_one_order(
    http: httpx2.AsyncClient, rows: Rows
) -> None:
    bodies = [unique(id=f"job-{n}") for n in range(3)]
    for body in bodies:
        await http.post("/jobs", json=body)
    answers = await asyncio.gather(*(http.post("/jobs", json=bodies[n % 3]) for n in range(90)))
    assert {answer.status_code for answer in answers} == {200}
    written = await rows.fetch(WRITTEN)
    for job_no in {row["job_no"] for row in written}:
        of_job = [row for row in written if row["job_no"] == job_no]
        assert [row["event_no"] for row in of_job] == list(range(1, 32))
        positions = [row["position"] for row in of_job]
        assert positions == sorted(positions)


async def test_a_submission_does_not_wait_for_a_locked_job_and_its_event_follows(
    http: httpx2.AsyncClient, rows: Rows, database_url: str
) -> None:
    locked, free, ended = unique(id="locked"), unique(id="free"), unique(id="ended")
    for body in (locked, free, ended):
        await http.post("/jobs", json=body)
    holder = await asyncpg.connect(database_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM jobs WHERE id IN ('locked', 'ended') FOR NO KEY UPDATE")
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(http.post("/jobs", json=body) for body in (locked, free, ended, locked)))
    assert {answer.json()["outcome"] for answer in answers} == {"joined"}
    assert [len(await timeline(http, job_id)) for job_id in ("locked", "free", "ended")] == [1, 2, 1]
    assert await write_late_events(rows) == 0
    assert await rows.fetchval("SELECT count(*) FROM late_events") == 3
    await transaction.rollback()
    await holder.close()
    assert (await http.post("/jobs/ended/cancel")).status_code == 202
    assert await write_late_events(rows) == 2
    assert await write_late_events(rows) == await rows.fetchval("SELECT count(*) FROM late_events") == 0
    assert [item["type"] for item in await timeline(http, "locked")] == ["submitted"] * 3
    assert [item["type"] for item in await timeline(http, "ended")] == ["submitted", "cancelled"]


async def test_a_timeline_has_no_gap_while_submissions_race_with_other_writers(
    http: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    seeds.batch_cells = 1
    body = unique(id="raced", questions=[f"{n}?" for n in range(20)])
    await http.post("/jobs", json=body)
    await asyncio.gather(seeds.run_all(), *(http.post("/jobs", json=body) for _ in range(60)))
    assert await rows.fetchval(JOINED) == 60

    async def are_written() -> bool:
        return await write_late_events(rows) == await rows.fetchval("SELECT count(*) FROM late_events") == 0

    await eventually_async(are_written)
    items = await timeline(http, "raced")
    assert (items[0]["type"], items[-1]["type"]) == ("submitted", "finished")
    positions = [row["position"] for row in await rows.fetch(WRITTEN)]
    assert positions == sorted(positions)


async def test_late_events_of_a_job_that_is_gone_are_forgotten(rows: Rows) -> None:
    await rows.execute("INSERT INTO late_events (job_no, type, source, data) VALUES (999, 'submitted', 'a test', '{}')")
    assert await write_late_events(rows) == await rows.fetchval("SELECT count(*) FROM late_events") == 0
