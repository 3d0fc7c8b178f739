"""GET /jobs and GET /jobs/{id}: filters, pages, and a job's progress of one moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

import api.schemas.jobs
import db.jobs
from db import tenants
from db.engine import Engine, connect
from tests.support.job_seeds import Seeds, completed, failed
from tests.support.reading_app import every_item

PARTS = ("executions", "waves", "waves/1/batches", "coordination", "events", "submissions", "audit")
BELOW = ("", *(f"/{part}" for part in PARTS))
WRONG_PARAMETERS = [
    ("limit=0", "limit", "invalid_parameter"),
    ("limit=201", "limit", "invalid_parameter"),
    ("limit=x", "limit", "invalid_parameter"),
    ("cursor=x", "cursor", "cursor_invalid"),
    ("cursor=", "cursor", "cursor_invalid"),
    ("cursor=WzEsImV2ZW50cyIsMV0", "cursor", "cursor_invalid"),
    ("cursor=WzIsImpvYnMiLDFd", "cursor", "cursor_invalid"),
    ("cursor=WzEsImpvYnMiLDk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", "cursor", "cursor_invalid"),
    ("cursor=WzEsImpvYnMiLHRydWVd", "cursor", "cursor_invalid"),
    ("cursor=%C3%A4", "cursor", "cursor_invalid"),
    ("cursor=" + "A" * 201, "cursor", "invalid_parameter"),
    ("status=done", "status", "invalid_parameter"),
    ("kind=x", "kind", "invalid_parameter"),
    ("region=mars", "region", "unknown_region"),
    ("name=", "name", "invalid_parameter"),
    ("name=%00", "name", "invalid_parameter"),
    ("model=a%00", "model", "invalid_parameter"),
    ("created_after=yesterday", "created_after", "invalid_parameter"),
    ("created_after=1700000000", "created_after", "invalid_parameter"),
    ("created_after=0001-01-01T00:00:00%2B14:00", "created_after", "invalid_parameter"),
    ("created_before=9999-12-31T23:00:00-14:00", "created_before", "invalid_parameter"),
    ("state=queued", "state", "unknown_parameter"),
]


def ids(items: list[Any]) -> list[str]:
    return [item["id"] for item in items]


async def shown(reader: httpx2.AsyncClient, job_id: str) -> Any:
    answer = await reader.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_sums_up(progress: dict[str, int]) -> None:
    assert progress["planned"] == sum(count for name, count in progress.items() if name != "planned")


async def test_a_job_is_shown_as_it_was_asked_and_as_it_runs(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(models=["a", "b", "a"], regions=["US"], questions=["One?", "Two?"])
    found = await shown(reader, job.id)
    assert found["planned"] == {"models": 2, "regions": 1, "questions": 2, "executions": 4}
    assert found["submitted"]["models"] == ["a", "b", "a"]
    assert found["spec"] == job.spec.to_json()
    assert {"path": "/regions/0", "action": "canonicalized", "from": "US", "to": "us-east"} in found["normalization"]
    assert (found["status"], found["error"], found["times_seen"]) == ("queued", None, 1)
    assert found["links"]["self"] == f"/jobs/{job.id}"
    assert found["queued_at"] >= found["created_at"]
    assert found["started_at"] is found["finished_at"] is None


async def test_times_seen_counts_accepted_submissions(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.enter(job, "joined", "replayed", "rejected")
    assert (await shown(reader, job.id))["times_seen"] == 3


async def test_progress_sums_up_to_the_plan_in_every_state(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 2
    job = await seeds.submit(models=["a", "b", "c"], questions=["One?", "Two?"])
    expected = [
        {"pending": 6},
        {"pending": 6},
        {"pending": 4, "running": 2},
        {"pending": 4, "running": 1, "completed": 1},
    ]
    found = [(await shown(reader, job.id))["progress"]]
    await seeds.plan()
    found.append((await shown(reader, job.id))["progress"])
    [batch] = await seeds.claim(cells=1)
    found.append((await shown(reader, job.id))["progress"])
    await seeds.record(completed(batch, first=1))
    found.append((await shown(reader, job.id))["progress"])
    for progress, counts in zip(found, expected, strict=True):
        assert {name: count for name, count in progress.items() if count and name != "planned"} == counts
        assert_sums_up(progress)


async def test_a_finished_job_says_when_and_how(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.record(*(failed(batch) for batch in await seeds.claim()))
    found = await shown(reader, job.id)
    assert (found["status"], found["progress"]["failed"]) == ("failed", 1)
    assert found["error"] == {
        "code": "success_rate_missed",
        "detail": "1 of 1 executions failed; min_success_rate is 0.67.",
    }
    assert found["created_at"] <= found["queued_at"] <= found["started_at"] <= found["finished_at"]


async def test_a_job_that_missed_its_rate_says_by_how_much(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(models=list("abcdef"))
    partial = await seeds.submit(models=list("abcdef"), policy={"min_success_rate": 0.1})
    await seeds.plan()
    await seeds.record(*(completed(claim) if claim.batch_no == 1 else failed(claim) for claim in await seeds.claim()))
    assert (await shown(reader, job.id))["error"] == {
        "code": "success_rate_missed",
        "detail": "5 of 6 executions failed; min_success_rate is 0.67.",
    }
    found = await shown(reader, partial.id)
    assert (found["status"], found["error"]) == ("partial", None)


async def test_a_job_that_could_not_be_planned_says_why(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await rows.execute(
        "UPDATE jobs SET status = 'failed', finished_at = now(), error_code = 'unplannable_spec', error_detail = 'No.'"
    )
    assert (await shown(reader, job.id))["error"] == {"code": "unplannable_spec", "detail": "No."}


async def test_a_purged_job_keeps_its_numbers(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(models=["a", "b"])
    await seeds.run_all()
    await rows.execute("UPDATE specs SET spec = NULL, submitted = NULL, normalization = NULL")
    found = await shown(reader, job.id)
    assert (found["spec"], found["submitted"], found["normalization"]) == (None, None, [])
    assert found["planned"]["models"] == 2
    [cell, _] = (await reader.get(f"/jobs/{job.id}/executions")).json()["items"]
    assert (cell["model_id"], cell["provider"]) == ("a", "echo")


async def test_each_change_of_a_job_changes_its_tag(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    async def tag() -> str:
        return str((await reader.get(f"/jobs/{job.id}", headers={"If-None-Match": 'W/"x"'})).headers["ETag"])

    job = await seeds.submit(questions=["One?", "Two?"])
    tags = [await tag()]
    await seeds.enter(job, "joined")
    tags.append(await tag())
    await seeds.plan()
    tags.append(await tag())
    [batch] = await seeds.claim()
    tags.append(await tag())
    await seeds.record(completed(batch, first=1))
    tags.append(await tag())
    assert len(set(tags)) == len(tags)


async def test_a_queued_job_says_where_it_stands(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    first = await seeds.submit()
    large = await seeds.submit(questions=["One?", "Two?", "Three?"])
    small = await seeds.submit()
    await rows.execute(
        "UPDATE jobs SET created_at = created_at - interval '1 h', queued_at = queued_at - interval '1 h'"
    )
    found = [(await shown(reader, job.id))["queue"] for job in (first, small, large)]
    assert [place["position"] for place in found] == [1, 2, 3]
    assert [round(place["waited_seconds"] / 60) for place in found] == [60, 60, 60]
    await rows.execute("UPDATE jobs SET status = 'running', started_at = now() WHERE job_no = $1", first.job_no)
    assert (await shown(reader, large.id))["queue"]["position"] == 2


async def test_a_job_far_back_is_not_counted_to_its_place(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await seeds.submit() for _ in range(4)]
    for module in (db.jobs, api.schemas.jobs):
        monkeypatch.setattr(module, "MAX_COUNTED_BEFORE", 2)
    assert [(await shown(reader, job.id))["queue"]["position"] for job in jobs] == [1, 2, None, None]


async def test_a_planned_job_waits_until_anything_of_it_begins(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    await rows.execute(
        "UPDATE jobs SET created_at = created_at - interval '1 h', queued_at = queued_at - interval '1 h'"
    )
    waiting = await shown(reader, job.id)
    assert (waiting["status"], waiting["queue"]["position"], waiting["first_started_at"]) == ("running", None, None)
    assert round(waiting["queue"]["waited_seconds"] / 60) == 60
    [first] = await seeds.claim(cells=1)
    begun = await shown(reader, job.id)
    assert (begun["queue"], begun["first_started_at"] >= begun["started_at"]) == (None, True)
    await seeds.record(completed(first))
    await seeds.run_all()
    ended = await shown(reader, job.id)
    assert (ended["status"], ended["queue"], ended["first_started_at"]) == (
        "completed",
        None,
        begun["first_started_at"],
    )


async def test_a_job_that_ended_before_it_began_waits_no_more(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit()
    await rows.execute(
        "UPDATE jobs SET status = 'failed', finished_at = now(), error_code = 'unplannable_spec', error_detail = 'No.'"
    )
    found = await shown(reader, job.id)
    assert (found["queue"], found["first_started_at"]) == (None, None)


async def test_a_place_that_changed_changes_the_tag_and_a_clock_does_not(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    before = await seeds.submit()
    job = await seeds.submit()
    first = await reader.get(f"/jobs/{job.id}")
    tag = {"If-None-Match": first.headers["ETag"]}
    again = await reader.get(f"/jobs/{job.id}")
    assert again.json()["queue"]["waited_seconds"] > first.json()["queue"]["waited_seconds"]
    assert (await reader.get(f"/jobs/{job.id}", headers=tag)).status_code == 304
    await rows.execute("UPDATE jobs SET status = 'running', started_at = now() WHERE job_no = $1", before.job_no)
    changed = await reader.get(f"/jobs/{job.id}", headers=tag)
    assert (changed.status_code, changed.json()["queue"]["position"]) == (200, 1)


async def test_an_unknown_job_has_nothing_below_it(reader: httpx2.AsyncClient) -> None:
    for job_id in ("absent", "%00", "a b", "x" * 101, "ünknown"):
        for part in BELOW:
            answer = await reader.get(f"/jobs/{job_id}{part}")
            assert (job_id, part, answer.status_code, answer.json()["code"]) == (job_id, part, 404, "not_found")


async def test_another_tenants_job_is_unknown(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES (7, 'other')")
    job = await seeds.submit(tenant_no=7)
    await seeds.run_all()
    assert tenants.DEFAULT_TENANT_NO != 7
    for part in BELOW:
        assert (part, (await reader.get(f"/jobs/{job.id}{part}")).status_code) == (part, 404)
    assert (await reader.get("/jobs")).json()["items"] == []
    assert (await reader.get("/audit")).json()["totals"]["jobs"] == 0
    assert (await reader.get(f"/executions/{job.job_no}-0-0-0")).status_code == 404
    assert (await reader.post(f"/jobs/{job.id}/coordinate")).status_code == 404


async def test_the_list_is_complete_and_stable_while_jobs_come_in(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    jobs = [(await seeds.submit()).id for _ in range(7)]
    first = await reader.get("/jobs?limit=3")
    await seeds.submit()
    following = await reader.get(first.links["next"]["url"])
    await seeds.submit()
    last = await reader.get(following.links["next"]["url"])
    pages = [page.json()["items"] for page in (first, following, last)]
    assert ids([job for page in pages for job in page]) == jobs[::-1]
    assert last.json()["next_cursor"] is None
    assert "Link" not in last.headers


async def test_a_page_that_ends_with_the_list_has_no_next(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    for _ in range(4):
        await seeds.submit()
    assert len(await every_item(reader, "/jobs", limit=2)) == 4


async def test_each_filter_narrows_the_list(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    done = await seeds.submit(name="done", models=["a"], regions=["EU"])
    await seeds.run_all()
    waiting = await seeds.submit(name="waiting", models=["a", "b"], regions=["US", "EU"])
    both = [waiting.id, done.id]
    for query, expected in {
        "status=completed": [done.id],
        "status=queued": [waiting.id],
        "kind=inference": both,
        "kind=import": [],
        "name=done": [done.id],
        "name=don": [],
        "model=a": both,
        "model=b": [waiting.id],
        "region=us-east": [waiting.id],
        "region=usa": [waiting.id],
        "region=%20EUROPE%20": both,
        "region=apac": [],
        "model=a&region=EU&status=queued": [waiting.id],
        "name=n%C3%A4": [],
    }.items():
        answer = await reader.get(f"/jobs?{query}")
        assert (query, ids(answer.json()["items"])) == (query, expected)


async def test_the_window_is_half_open(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    jobs = [await seeds.submit() for _ in range(3)]
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for hours, job in enumerate(jobs):
        moment = noon + timedelta(hours=hours)
        await rows.execute("UPDATE jobs SET created_at = $2 WHERE job_no = $1", job.job_no, moment)
    first, second, third = (job.id for job in jobs)
    for query, expected in {
        "created_after=2026-01-31T13:00:00Z": [third, second],
        "created_before=2026-01-31T13:00:00Z": [first],
        "created_after=2026-01-31T14:00:00%2B01:00&created_before=2026-01-31T14:00:00": [second],
        "created_after=2026-01-31T15:00:00+01:00": [third],
        "created_after=2026-02-01": [],
    }.items():
        answer = await reader.get(f"/jobs?{query}")
        assert (query, ids(answer.json()["items"])) == (query, expected)


async def test_a_parameter_that_a_list_does_not_have_is_named(reader: httpx2.AsyncClient) -> None:
    for query, parameter, code in WRONG_PARAMETERS:
        answer = await reader.get(f"/jobs?{query}")
        assert (query, answer.status_code, answer.json()["code"]) == (query, 422, code)
        [reason] = answer.json()["errors"]
        assert reason["parameter"] == parameter


async def test_an_unknown_region_comes_with_those_there_are(reader: httpx2.AsyncClient) -> None:
    [reason] = (await reader.get("/jobs?region=mars")).json()["errors"]
    assert reason["allowed"] == ["us-east", "eu-west", "asia-pacific"]
    assert "mars" not in reason["detail"]


async def test_every_list_refuses_unknown_parameters(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    for part in PARTS[:-1]:
        for query in ("limit=0", "limit=201", "cursor=x", "colour=red"):
            answer = await reader.get(f"/jobs/{job.id}/{part}?{query}")
            assert (part, query, answer.status_code) == (part, query, 422)


async def test_reads_leave_no_connection_behind(reader: httpx2.AsyncClient, engine: Engine) -> None:
    for _ in range(20):
        await reader.get("/jobs/absent")
        await reader.get("/jobs/absent/audit")
    async with connect(engine) as connection:
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") <= 5
        )
