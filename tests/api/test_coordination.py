"""Waves, batches, triggers, events and submissions of a job; and triggering by hand, any number of times."""

import asyncio
from typing import Any

import httpx2
import orjson
import pytest

from broker import envelopes
from broker.envelopes import Client
from db import coordination, counters
from db.engine import Connection, Engine, connect, in_transaction
from tests.support.job_seeds import WORKER_ID, Seeds, completed, retried
from tests.support.reading_app import every_item
from tests.support.waiting import eventually_async


async def items(reader: httpx2.AsyncClient, path: str) -> Any:
    answer = await reader.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def counted(engine: Engine, series: str) -> dict[str, float]:
    async with connect(engine) as connection:
        return {
            "/".join(labels.values()): value
            for name, labels, value in await counters.totals(connection)
            if name == f"breakwater_{series}"
        }


async def test_a_wave_counts_its_batches(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?", "Three?"])
    await seeds.plan()
    [batch] = await seeds.claim(cells=1)
    await seeds.record(completed(batch))
    [wave] = await items(reader, f"/jobs/{job.id}/waves")
    assert (wave["wave_number"], wave["level"], wave["status"]) == (1, 0, "running")
    assert wave["batches"] == {"total": 3, "open": 2, "completed": 1, "failed": 0, "cancelled": 0}


async def test_batches_show_lease_and_fence(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [claimed] = await seeds.claim(cells=1)
    found = await every_item(reader, f"/jobs/{job.id}/waves/1/batches", limit=1)
    [held] = [batch for batch in found if batch["batch_id"] == str(claimed.batch_no)]
    [other] = [batch for batch in found if batch is not held]
    assert (held["status"], held["fence"], held["open_cells"], held["lease_until"] is None) == ("running", 1, 1, False)
    assert (other["status"], other["fence"], other["lease_until"]) == ("pending", 0, None)
    assert (held["wave_number"], held["provider"], held["region"], held["record_type"]) == (1, "echo", "us-east", None)
    assert {held[name] for name in held if name.startswith("rows_")} == {None}


async def test_a_batch_that_waits_says_until_when(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.record(*(retried(batch, due_in_seconds=60) for batch in await seeds.claim()))
    [batch] = await items(reader, f"/jobs/{job.id}/waves/1/batches")
    assert (batch["status"], batch["attempts"], batch["not_before"] > batch["queued_at"]) == ("pending", 1, True)


async def test_an_absent_wave_is_a_404(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    for wave in (0, 1, 2**31 - 1):
        assert (await reader.get(f"/jobs/{job.id}/waves/{wave}/batches")).status_code == 404
    for wave in ("x", str(2**31), "-1"):
        answer = await reader.get(f"/jobs/{job.id}/waves/{wave}/batches")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "wave_number")


async def test_triggers_show_which_of_them_won(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()

    async def trigger(connection: Connection) -> None:
        await coordination.insert_joined_triggers(
            connection, [(job.job_no, "initial"), (job.job_no, "fallback")], seeds.worker_no
        )

    await in_transaction(seeds.engine, trigger)
    found = await every_item(reader, f"/jobs/{job.id}/coordination", limit=2)
    assert [(item["source"], item["outcome"], item["worker"]) for item in found] == [
        ("initial", "won", "w-seeds"),
        ("initial", "joined", "w-seeds"),
        ("fallback", "joined", "w-seeds"),
    ]


async def test_batches_are_narrowed_by_their_state(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(models=["a", "b", "c", "d"])
    await seeds.plan()
    first, second, _ = await seeds.claim(cells=3)
    await seeds.record(completed(first), completed(second))
    path = f"/jobs/{job.id}/waves/1/batches"
    for status, count in (("completed", 2), ("running", 1), ("pending", 1), ("failed", 0)):
        found = await every_item(reader, f"{path}?status={status}", limit=1)
        assert [item["status"] for item in found] == [status] * count
    for status in ("done", "planned", ""):
        answer = await reader.get(path, params={"status": status})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "status")
        assert "'completed', 'failed' or 'cancelled'" in answer.json()["detail"]


async def test_events_name_batches_as_the_waves_do(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.run_all()
    _, *ended = await items(reader, f"/jobs/{job.id}/events")
    shown = [event["data"]["batches"] for event in ended]
    batches = await items(reader, f"/jobs/{job.id}/waves/1/batches")
    assert sorted(item["batch_id"] for batches_shown in shown for item in batches_shown) == [
        batch["batch_id"] for batch in batches
    ]
    stored = await rows.fetchval("SELECT data #> '{batches,0,batch_id}' FROM events ORDER BY event_no DESC LIMIT 1")
    assert stored in {"1", "2"}


async def test_events_come_in_order_and_by_pages(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    for batch in await seeds.claim():
        await seeds.record(completed(batch))
    found = await every_item(reader, f"/jobs/{job.id}/events", limit=2)
    assert [(event["id"], event["type"]) for event in found] == [
        (1, "coordinated"),
        (2, "progressed"),
        (3, "finished"),
    ]
    assert found[2]["data"]["status"] == "completed"


async def test_events_name_the_worker_that_did_it(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    for batch in await seeds.claim():
        await seeds.record(completed(batch))
    await rows.execute("INSERT INTO workers (id, role, pid, host) VALUES ('api-1', 'api', 1, 'here')")
    await rows.execute("INSERT INTO events VALUES ($1, 4, 'retried', now(), 'api-1', '{}')", job.job_no)
    found = await items(reader, f"/jobs/{job.id}/events")
    assert [(event["type"], event["source"], event["worker"]) for event in found] == [
        ("coordinated", "initial", None),
        ("progressed", WORKER_ID, WORKER_ID),
        ("finished", WORKER_ID, WORKER_ID),
        ("retried", "api-1", None),
    ]


async def test_events_of_every_kind_are_shown(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    stored = {
        "cancelled": {"by": "api:127.0.0.1", "reason": None, "cells": 3},
        "retried": {"batches": [{"batch_id": 7, "cells": 2}], "verdict": "failed"},
        "resolved": {"execution_id": "1-0-0-0", "status": "completed", "job_status": "partial"},
        "lease_released": {"batch_id": 7, "held_by": WORKER_ID},
        "something_new": {"batches": [7, 8], "deep": {"batches": 3}},
    }
    for number, (kind, data) in enumerate(stored.items(), 1):
        text = orjson.dumps(data).decode()
        await rows.execute(
            "INSERT INTO events VALUES ($1, $2, $3, now(), 'api:127.0.0.1', $4)", job.job_no, number, kind, text
        )
    found = await items(reader, f"/jobs/{job.id}/events")
    assert {event["type"]: event["data"] for event in found} == {
        **stored,
        "retried": {"batches": [{"batch_id": "7", "cells": 2}], "verdict": "failed"},
        "lease_released": {"batch_id": "7", "held_by": WORKER_ID},
        "something_new": {"batches": ["7", "8"], "deep": {"batches": 3}},
    }
    assert {(event["source"], event["worker"]) for event in found} == {("api:127.0.0.1", None)}


async def test_submissions_show_their_client_and_why_they_joined(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.enter(job, "joined", "replayed", "rejected")
    found = await every_item(reader, f"/jobs/{job.id}/submissions", limit=3)
    assert [item["outcome"] for item in found] == ["created", "joined", "replayed", "rejected"]
    assert (found[0]["client"], found[0]["user_agent"], found[0]["reason"]) == ("127.0.0.1", "tests", "new")


async def test_triggering_a_queued_job_is_recorded_and_announced(
    reader: httpx2.AsyncClient, seeds: Seeds, redis_client: Client, announcing: None
) -> None:
    job = await seeds.submit()
    answer = await reader.post(f"/jobs/{job.id}/coordinate")
    assert answer.status_code == 202
    assert (answer.json()["trigger"]["source"], answer.json()["trigger"]["outcome"]) == ("manual", None)
    assert answer.json()["waves"] == []

    async def reserved() -> list[Any]:
        return await envelopes.reserve(redis_client, "test", count=9, block_seconds=0.1)

    [delivery] = await eventually_async(reserved)
    assert delivery.envelope is not None
    assert (delivery.envelope.job, delivery.envelope.source) == (job.job_no, "manual")


async def test_triggering_a_planned_job_joins_its_waves(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()
    before = await items(reader, f"/jobs/{job.id}/waves")
    for times in (1, 2):
        answer = await reader.post(f"/jobs/{job.id}/coordinate")
        assert (answer.status_code, answer.json()["trigger"]["outcome"]) == (200, "joined")
        assert answer.json()["trigger"]["finished_at"] is not None
        assert answer.json()["waves"] == before
        assert await counted(seeds.engine, "coordination") == {"joined/manual": times}
        assert await counted(seeds.engine, "duplicates_prevented") == {"coordination/manual_joined": times}


async def test_many_triggers_at_once_give_one_set_of_waves(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    answers = await asyncio.gather(
        seeds.plan(), *(reader.post(f"/jobs/{job.id}/coordinate") for _ in range(12)), seeds.plan()
    )
    await seeds.plan()  # a job that somebody has locked is passed over
    assert {answer.status_code for answer in answers if answer is not None} <= {200, 202}
    assert len(await items(reader, f"/jobs/{job.id}/waves")) == 1
    outcomes = [item["outcome"] for item in await items(reader, f"/jobs/{job.id}/coordination")]
    assert (len(outcomes), outcomes.count("won")) == (13, 1)
    assert (await reader.get(f"/jobs/{job.id}/audit")).json()["holds"]


async def test_triggering_takes_no_parameters(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    assert (await reader.post(f"/jobs/{job.id}/coordinate?force=true")).status_code == 422
    assert await items(reader, f"/jobs/{job.id}/coordination") == []


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[]", 422), (b'{"reason": "no"}', 422), (b"", 202), (b"{}", 202)]
)
async def test_a_body_that_would_be_ignored_is_refused(seeds, reader, content: bytes, status: int) -> None:
    job = await seeds.submit()
    headers = {"Content-Type": "application/json"} if content else {}
    answer = await reader.post(f"/jobs/{job.id}/coordinate", content=content, headers=headers)
    assert answer.status_code == status, answer.text
