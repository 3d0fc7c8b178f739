"""Actions on jobs over HTTP: their answers, records, counters and refusals."""

from typing import Any

import httpx2
import pytest

from broker import envelopes, notices
from broker.envelopes import Client
from db import counters
from db.engine import Engine, connect, create_engine
from tests.support.controls import end_unknown, exhausted
from tests.support.job_seeds import Seeded, Seeds, completed, failed
from tests.support.reading_app import every_item, reading_app
from tests.support.waiting import eventually_async

TWO = ["One?", "Two?"]
ACTIONS = (
    "/jobs/{job}/cancel",
    "/jobs/{job}/retry",
    "/jobs/{job}/batches/1/release",
    "/executions/{cell}/retry",
    "/executions/{cell}/resolve",
    "/queue/dead/1/replay",
)


@pytest.fixture
def seeds(seeds: Seeds) -> Seeds:
    seeds.batch_cells = 2
    return seeds


async def ended(seeds: Seeds, end: Any = failed, **body: Any) -> Seeded:
    """A job of two cells in one batch, ended as `end` says."""
    job = await seeds.submit(questions=TWO, **body)
    await seeds.plan()
    await seeds.record(*(end(batch) for batch in await seeds.claim()))
    return job


async def unknown(seeds: Seeds) -> Seeded:
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    [batch] = await seeds.claim()
    await end_unknown(seeds, batch)
    return job


async def post(reader: httpx2.AsyncClient, path: str, body: Any = None, *, status: int = 200) -> Any:
    answer = await reader.post(path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    return answer.json()


async def shown(reader: httpx2.AsyncClient, path: str) -> Any:
    answer = await reader.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def counted(engine: Engine, series: str) -> dict[str, float]:
    async with connect(engine) as connection:
        return {
            "/".join(labels.values()): value
            for name, labels, value in await counters.totals(connection)
            if name == f"breakwater_{series}"
        }


async def announced_envelopes(redis_client: Client) -> list[tuple[int, int | None, str]]:
    """The job, batch and source of the stream's next envelopes."""

    async def look() -> list[Any]:
        return await envelopes.reserve(redis_client, "test", count=9, block_seconds=0.1)

    found = [delivery.envelope for delivery in await eventually_async(look)]
    return [(envelope.job, envelope.batch, envelope.source) for envelope in found if envelope is not None]


@pytest.fixture
def announced(reader: httpx2.AsyncClient, announcing: None, redis_client: Client) -> Client:
    """The stream, to which envelopes are published."""
    return redis_client


# Cancel


async def test_cancelling_ends_open_work_once(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    await seeds.claim()
    first = await post(reader, f"/jobs/{job.id}/cancel", {"reason": "too dear"}, status=202)
    assert first == {"id": job.id, "status": "cancelled", "cancelled": 2}
    assert await post(reader, f"/jobs/{job.id}/cancel") == {**first, "cancelled": 0}
    found = await shown(reader, f"/jobs/{job.id}")
    assert (found["status"], found["progress"]["cancelled"], found["error"]) == ("cancelled", 2, None)
    *_, event = (await shown(reader, f"/jobs/{job.id}/events"))["items"]
    assert (event["type"], event["source"]) == ("cancelled", "api:127.0.0.1")
    assert event["data"] == {"by": "api:127.0.0.1", "reason": "too dear", "cells": 2}
    assert await counted(seeds.engine, "executions") == {"echo/us-east/cancelled": 2}
    assert (await shown(reader, f"/jobs/{job.id}/audit"))["holds"]


async def test_a_job_that_waits_is_cancelled_with_the_triggers_that_waited(reader, seeds: Seeds) -> None:
    job = await seeds.submit(questions=TWO)
    await post(reader, f"/jobs/{job.id}/coordinate", status=202)
    assert (await post(reader, f"/jobs/{job.id}/cancel", status=202))["cancelled"] == 2
    [trigger] = (await shown(reader, f"/jobs/{job.id}/coordination"))["items"]
    assert (trigger["source"], trigger["outcome"]) == ("manual", "failed")
    assert await counted(seeds.engine, "coordination") == {"failed/manual": 1}
    assert await counted(seeds.engine, "executions") == {}
    assert (await shown(reader, f"/jobs/{job.id}/audit"))["holds"]


async def test_workers_are_notified_of_a_cancelled_job_and_of_the_room_that_it_leaves(
    reader, seeds: Seeds, announced: Client
) -> None:
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    async with announced.pubsub() as channel:
        await channel.subscribe(notices.CHANNEL)
        await channel.get_message(timeout=5)
        await post(reader, f"/jobs/{job.id}/cancel", status=202)
        message = await channel.get_message(timeout=5)
        await post(reader, f"/jobs/{job.id}/cancel")
        assert await channel.get_message(timeout=0.01) is None
    assert message["data"] == notices.Notice("cancelled", job.job_no).to_bytes()
    assert await announced_envelopes(announced) == [(job.job_no, 1, "manual")]


async def test_without_redis_everything_is_done_all_the_same(engine: Engine, seeds: Seeds) -> None:
    absent = envelopes.connect("redis://127.0.0.1:1/0")
    async with reading_app(engine, absent, seeds.worker_no) as lonely:
        job = await seeds.submit(questions=TWO)
        await seeds.plan()
        assert (await post(lonely, f"/jobs/{job.id}/cancel", status=202))["cancelled"] == 2
        other = await ended(seeds)
        assert (await post(lonely, f"/jobs/{other.id}/retry"))["retried"] == 2
    await absent.aclose()


# Retry


async def test_a_retry_counts_retried_and_unchanged_cells(reader, seeds: Seeds, announced: Client) -> None:
    job = await ended(seeds, regions=["US", "EU"])
    assert await post(reader, f"/jobs/{job.id}/retry", {"region": "EUROPE", "reason": "it is back"}) == {
        "id": job.id,
        "status": "running",
        "retried": 2,
        "untouched": 2,
        "unknown": 0,
        "detail": None,
    }
    assert await announced_envelopes(announced) == [(job.job_no, 2, "retry")]
    *_, event = (await shown(reader, f"/jobs/{job.id}/events"))["items"]
    assert event["data"] == {
        "by": "api:127.0.0.1",
        "reason": "it is back",
        "filter": {"region": "eu-west"},
        "cells": 2,
        "verdict": "failed",
        "batches": [{"batch_id": "2", "cells": 2}],
    }
    *_, trigger = (await shown(reader, f"/jobs/{job.id}/coordination"))["items"]
    assert (trigger["source"], trigger["outcome"], trigger["worker"]) == ("retry", "joined", "w-seeds")
    assert await counted(seeds.engine, "retries") == {"user": 2}
    assert (await counted(seeds.engine, "coordination"))["joined/retry"] == 1
    again = await post(reader, f"/jobs/{job.id}/retry", {"region": "eu-west"})
    assert again == {"id": job.id, "status": "running", "retried": 0, "untouched": 4, "unknown": 0, "detail": None}
    assert await counted(seeds.engine, "retries") == {"user": 2}
    assert (await shown(reader, f"/jobs/{job.id}/audit"))["holds"]


async def test_a_dry_run_says_the_same_and_does_nothing(reader, seeds: Seeds) -> None:
    job = await ended(seeds, models=["m-a", "m-b"])
    before = await shown(reader, f"/jobs/{job.id}")
    planned = await post(reader, f"/jobs/{job.id}/retry?dry_run=true", {"model": "m-b", "error_code": "busy"})
    assert planned == {"id": job.id, "status": "running", "retried": 2, "untouched": 2, "unknown": 0, "detail": None}
    assert await shown(reader, f"/jobs/{job.id}") == before
    done = await post(reader, f"/jobs/{job.id}/retry", {"model": "m-b", "error_code": "busy"})
    assert done == planned


async def test_an_unknown_region_is_answered_with_the_known_ones(reader, seeds: Seeds) -> None:
    job = await ended(seeds)
    problem = await post(reader, f"/jobs/{job.id}/retry", {"region": "mars"}, status=422)
    [reason] = problem["errors"]
    assert (problem["code"], reason["pointer"], reason["allowed"][0]) == ("unknown_region", "/region", "us-east")


async def test_a_cancelled_job_is_a_conflict(reader, seeds: Seeds) -> None:
    job = await seeds.submit(questions=[*TWO, "Three?"])
    await seeds.plan()
    first, _ = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
    await seeds.record(exhausted(first))
    await post(reader, f"/jobs/{job.id}/cancel", status=202)
    for path in (f"/jobs/{job.id}/retry", f"/jobs/{job.id}/retry?dry_run=true", "/queue/dead/1/replay"):
        assert (await post(reader, path, status=409))["code"] == "job_cancelled"
    cell = (await shown(reader, f"/jobs/{job.id}/executions"))["items"][0]["id"]
    assert (await post(reader, f"/executions/{cell}/retry", status=409))["code"] == "job_cancelled"


async def test_an_execution_is_retried_by_the_id_that_is_shown(reader, seeds: Seeds, announced: Client) -> None:
    job = await ended(seeds)
    first, second = (await shown(reader, f"/jobs/{job.id}/executions"))["items"]
    done = await post(reader, f"/executions/{first['id']}/retry", {"reason": "once more"})
    assert done == {"id": job.id, "status": "running", "retried": 1, "untouched": 0, "unknown": 0, "detail": None}
    assert await post(reader, f"/executions/{first['id']}/retry") == {**done, "retried": 0, "untouched": 1}
    assert await announced_envelopes(announced) == [(job.job_no, 1, "retry")]
    assert (await shown(reader, f"/executions/{first['id']}"))["status"] == "planned"
    assert (await shown(reader, f"/executions/{second['id']}"))["status"] == "failed"
    assert await counted(seeds.engine, "retries") == {"user": 1}


# Resolve


async def test_a_resolved_execution_is_shown_with_its_ambiguous_try(reader, seeds: Seeds) -> None:
    job = await unknown(seeds)
    first, second = (await shown(reader, f"/jobs/{job.id}/executions?status=unknown"))["items"]
    body = {"status": "completed", "output": "Paris.", "reason": "found in their log"}
    resolved = await post(reader, f"/executions/{first['id']}/resolve", body)
    assert (resolved["status"], resolved["output"], resolved["error"]) == ("completed", "Paris.", None)
    [ambiguous] = resolved["attempt_history"]
    assert (ambiguous["status"], ambiguous["error"]["code"]) == ("unknown", "timeout")
    assert await post(reader, f"/executions/{first['id']}/resolve", {**body, "reason": "again"}) == resolved
    failed_one = await post(reader, f"/executions/{second['id']}/resolve", {"status": "failed"})
    assert (failed_one["status"], failed_one["error"]["code"]) == ("failed", "resolved_failed")
    found = await shown(reader, f"/jobs/{job.id}")
    assert (found["status"], found["progress"]["unknown"], found["progress"]["completed"]) == ("failed", 0, 1)
    assert await counted(seeds.engine, "executions") == {"echo/us-east/completed": 1, "echo/us-east/failed": 1}
    assert (await shown(reader, f"/jobs/{job.id}/audit"))["holds"]


@pytest.mark.parametrize("body", [{"status": "completed", "output": "Rome."}, {"status": "failed"}])
async def test_another_resolution_is_a_conflict(reader, seeds: Seeds, body: Any) -> None:
    job = await unknown(seeds)
    cell = f"{job.job_no}-0-0-0"
    before = await post(reader, f"/executions/{cell}/resolve", {"status": "completed", "output": "Paris."})
    problem = await post(reader, f"/executions/{cell}/resolve", body, status=409)
    assert (problem["code"], problem["status"]) == ("execution_not_unknown", 409)
    assert await shown(reader, f"/executions/{cell}") == before


async def test_resolving_an_execution_that_is_not_unknown_is_a_conflict(reader, seeds: Seeds) -> None:
    job = await ended(seeds, completed)
    problem = await post(reader, f"/executions/{job.job_no}-0-0-0/resolve", {"status": "failed"}, status=409)
    assert (problem["code"], problem["execution_status"]) == ("execution_not_unknown", "completed")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/status"),
        ({"status": "cancelled"}, "/status"),
        ({"status": "completed"}, "/output"),
        ({"status": "completed", "output": None}, "/output"),
        ({"status": "completed", "output": 4}, "/output"),
        ({"status": "completed", "output": "\0"}, "/output"),
        ({"status": "failed", "output": ""}, "/output"),
    ],
)
async def test_a_resolution_that_says_too_little_or_too_much_is_refused(reader, seeds, body: Any, pointer) -> None:
    job = await unknown(seeds)
    problem = await post(reader, f"/executions/{job.job_no}-0-0-0/resolve", body, status=422)
    assert [reason["pointer"] for reason in problem["errors"]] == [pointer]
    assert (await shown(reader, f"/executions/{job.job_no}-0-0-0"))["status"] == "unknown"


async def test_an_empty_answer_is_an_answer(reader, seeds: Seeds) -> None:
    job = await unknown(seeds)
    found = await post(reader, f"/executions/{job.job_no}-0-0-0/resolve", {"status": "completed", "output": ""})
    assert (found["output"], found["output_empty"]) == ("", True)


# Resume


@pytest.mark.parametrize("paused", ["/regions/us-east", "/providers/echo"])
async def test_a_resume_announces_the_work_that_waited_for_it(reader, seeds: Seeds, announced: Client, paused) -> None:
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    await post(reader, f"{paused}/pause")
    await post(reader, f"{paused}/resume")
    assert await announced_envelopes(announced) == [(job.job_no, 1, "manual")]


# Release


async def test_a_lease_is_released_once(reader, seeds: Seeds, announced: Client) -> None:
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    [held] = await seeds.claim()
    [batch] = (await shown(reader, f"/jobs/{job.id}/waves/1/batches"))["items"]
    path = f"/jobs/{job.id}/batches/{batch['batch_id']}/release"
    assert await post(reader, path, {"reason": "it hangs"}) == {"released": True, "held_by": "w-seeds"}
    assert await post(reader, path) == {"released": False, "held_by": None}
    assert await announced_envelopes(announced) == [(job.job_no, 1, "manual")]
    *_, event = (await shown(reader, f"/jobs/{job.id}/events"))["items"]
    assert (event["type"], event["data"]["batch_id"], event["data"]["reason"]) == ("lease_released", "1", "it hangs")
    assert (await seeds.record(completed(held))).written == []
    assert (await shown(reader, f"/jobs/{job.id}/audit"))["holds"]


@pytest.mark.parametrize("batch_id", ["x", "-1", str(2**31)])
async def test_a_batch_id_that_none_can_have_is_refused(reader, seeds: Seeds, batch_id: str) -> None:
    job = await seeds.submit()
    problem = await post(reader, f"/jobs/{job.id}/batches/{batch_id}/release", status=422)
    assert problem["errors"][0]["parameter"] == "batch_id"


async def test_no_reason_shows_a_secret(reader, seeds: Seeds, rows: Any) -> None:
    """Neither of an action on a job nor of a pause."""
    secret, job = "ghp_" + "a1" * 18, await seeds.submit()
    reason = {"reason": f"the key {secret} and https://u:{secret}/x@h leaked"}
    shown_reason = "the key [redacted] and https://u:[redacted]@h leaked"
    await post(reader, f"/jobs/{job.id}/cancel", reason, status=202)
    assert (await post(reader, "/regions/us-east/pause", reason))["reason"] == shown_reason
    await post(reader, "/regions/us-east/resume", reason)
    *_, event = (await shown(reader, f"/jobs/{job.id}/events"))["items"]
    assert event["data"]["reason"] == shown_reason
    assert [item["reason"] for item in (await shown(reader, "/operations"))["items"]] == [shown_reason] * 2
    for table in ("events", "pauses", "audit_entries"):
        assert (
            await rows.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%' || $1 || '%'", secret) == 0
        )


# Dead letters


async def test_dead_letters_are_listed_newest_first_and_replayed_one_by_one(reader, seeds, announced) -> None:
    job = await ended(seeds, exhausted)
    letters = await every_item(reader, "/queue/dead", limit=1)
    assert [letter["id"] for letter in letters] == [2, 1]
    newest = letters[0]
    assert (newest["job_id"], newest["region"], newest["model_id"]) == (job.id, "us-east", "m-a")
    assert (newest["attempts"], newest["error"]) == (1, {"code": "busy", "detail": "Why."})
    assert (await shown(reader, f"/executions/{newest['execution_id']}"))["status"] == "failed"
    done = await post(reader, f"/queue/dead/{newest['id']}/replay", {"reason": "mended"})
    assert done == {"id": job.id, "status": "running", "retried": 1, "untouched": 0, "unknown": 0, "detail": None}
    assert await post(reader, f"/queue/dead/{newest['id']}/replay") == {**done, "retried": 0, "untouched": 1}
    assert await announced_envelopes(announced) == [(job.job_no, 1, "retry")]
    assert [letter["id"] for letter in (await shown(reader, "/queue/dead"))["items"]] == [1]


async def test_open_dead_letters_are_a_gauge(reader, seeds: Seeds) -> None:
    async def gauge() -> str:
        text = (await reader.get("/metrics")).text
        return next(line for line in text.splitlines() if line.startswith("breakwater_dead_letters{"))

    assert (await gauge()).endswith(" 0.0")
    job = await ended(seeds, exhausted)
    assert (await gauge()).endswith(" 2.0")
    await post(reader, f"/jobs/{job.id}/retry")
    assert (await gauge()).endswith(" 0.0")


# All of them


@pytest.mark.parametrize("path", [path for path in ACTIONS if "resolve" not in path])
async def test_an_action_on_an_unknown_id_is_a_404(reader, path: str) -> None:
    assert (await post(reader, path.format(job="absent", cell="9-0-0-0"), status=404))["code"] == "not_found"


async def test_an_execution_that_does_not_exist_is_not_resolved(reader) -> None:
    assert (await post(reader, "/executions/9-0-0-0/resolve", {"status": "failed"}, status=404))["code"] == "not_found"


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b'{"reason":"a","reason":"b"}', "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 422, "invalid_field"),
        (b"null", "application/json", 422, "invalid_field"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b" " * (2**20 + 1), "application/json", 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_none_is_refused(reader, path, content, media_type, status, code) -> None:  # noqa: PLR0917
    answer = await reader.post(
        path.format(job="absent", cell="9-0-0-0"), content=content, headers={"Content-Type": media_type}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"colour": "red"}, "/colour", "unknown_field"),
        ({"reason": "x" * 501}, "/reason", "invalid_field"),
        ({"reason": 5}, "/reason", "invalid_field"),
        ({"reason": "\0"}, "/reason", "invalid_field"),
    ],
)
async def test_a_member_that_would_be_ignored_is_refused(reader, path, body, pointer, code) -> None:
    needed = {"status": "failed"} if "resolve" in path else {}
    problem = await post(reader, path.format(job="absent", cell="9-0-0-0"), {**needed, **body}, status=422)
    assert [(reason["pointer"], reason["code"]) for reason in problem["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("path", ACTIONS)
async def test_a_parameter_that_would_be_ignored_is_refused(reader, path: str) -> None:
    problem = await post(reader, path.format(job="absent", cell="9-0-0-0") + "?force=true", {}, status=422)
    assert problem["errors"][0]["parameter"] == "force"


async def test_a_submission_whose_lock_is_held_for_long_is_asked_to_come_back(
    reader, seeds: Seeds, rows: Any, monkeypatch
) -> None:
    monkeypatch.setattr("db.controls.LOCK_TIMEOUT", "50ms")
    job = await seeds.submit(questions=TWO)
    await seeds.plan()
    async with rows.transaction():
        await rows.execute("SELECT FROM batches FOR NO KEY UPDATE")
        answer = await reader.post(f"/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "overloaded", "1")
    await post(reader, f"/jobs/{job.id}/cancel", status=202)


async def test_while_the_database_is_unavailable_nothing_is_done(redis_client: Client) -> None:
    absent = create_engine("postgresql://u:p@127.0.0.1:1/d")
    async with reading_app(absent, redis_client, 1) as homeless:
        for path in ACTIONS:
            body = {"status": "failed"} if "resolve" in path else {}
            await post(homeless, path.format(job="j", cell="1-0-0-0"), body, status=503)
    await absent.dispose()
