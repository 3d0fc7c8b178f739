"""The tries of a cell: as many as it counts, each unchanged, none invented, for any end of the cell."""

import asyncio
import random
from typing import Any

import httpx2
import pytest

from tests.support.cell_histories import CellHistories, CellHistory, random_histories
from tests.support.job_seeds import Seeds, failed, retried


async def shown(reader: httpx2.AsyncClient, execution_id: str) -> Any:
    answer = await reader.get(f"/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("seed", range(4))
async def test_every_try_is_reported_once(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, seed: int) -> None:
    lives = await random_histories(seeds, rows, seed)
    assert {life.status for life in lives} >= {"planned", "completed", "failed", "cancelled"}
    for life in lives:
        cell = await shown(reader, life.execution_id)
        history = cell["attempt_history"]
        attempts = [
            (attempt["status"], (attempt["error"] or {}).get("code"), attempt["region_served"]) for attempt in history
        ]
        assert (life.key, cell["status"], attempts) == (life.key, life.status, life.tries)
        assert [attempt["attempt"] for attempt in history] == list(range(1, cell["attempts"] + 1))
        assert all(attempt["started_at"] <= attempt["finished_at"] for attempt in history)


async def test_a_cell_and_its_tries_are_of_one_moment(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await seeds.plan()
    life = CellHistory(job, (job.job_no, 0, 0, 0))

    is_seen = asyncio.Event()

    async def keep_failing() -> None:
        while not is_seen.is_set():
            await CellHistories(rows, random.Random(1)).repeat(life)

    failing = asyncio.create_task(keep_failing())
    seen = set()
    while len(seen) <= 10:
        assert not failing.done()
        cell = await shown(reader, life.execution_id)
        assert len(cell["attempt_history"]) == cell["attempts"]
        seen.add(cell["attempts"])
    is_seen.set()
    await failing


async def test_a_cell_given_up_without_a_call_has_no_try(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await seeds.plan()
    life = CellHistory(job, (job.job_no, 0, 0, 0))
    await CellHistories(rows, random.Random(1)).give_up(life)
    cell = await shown(reader, life.execution_id)
    assert (cell["status"], cell["attempts"], cell["attempt_history"]) == ("failed", 0, [])
    assert cell["error"]["code"] in {"queue_timeout", "worker_lost"}
    assert cell["started_at"] is cell["provider_used"] is None


async def test_a_mismatch_says_where_it_was_served(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.record(*(failed(batch) for batch in await seeds.claim()))
    await rows.execute("ALTER TABLE executions DISABLE TRIGGER execution_transition_is_legal")
    await rows.execute("UPDATE executions SET region_served = 'eu-west', error_code = 'region_mismatch'")
    cell = await shown(reader, f"{job.job_no}-0-0-0")
    [attempt] = cell["attempt_history"]
    assert cell["region_served"] == attempt["region_served"] == "eu-west"
    assert attempt["error"]["code"] == "region_mismatch"


async def test_a_cell_says_when_it_is_tried_again(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    path = f"/jobs/{job.id}/executions"

    async def retries() -> list[str | None]:
        return [cell["retry_at"] for cell in (await reader.get(path)).json()["items"]]

    await seeds.plan()
    assert await retries() == [None, None]
    await seeds.record(*(retried(batch) for batch in await seeds.claim()))
    await rows.execute("UPDATE executions SET not_before = '2999-01-01' WHERE question_no = 1")
    await rows.execute("UPDATE executions SET not_before = '2020-01-01' WHERE question_no = 0")
    assert await retries() == ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]
    [batch] = await seeds.claim()
    assert await retries() == [None, "2999-01-01T00:00:00Z"]
    await seeds.record(failed(batch))
    assert await retries() == [None, "2999-01-01T00:00:00Z"]


async def test_usage_is_shown_as_the_provider_reported_it(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    await rows.execute("""UPDATE executions SET usage = '{"total_tokens": 7, "cost": 0.001}' WHERE question_no = 0""")
    counted, uncounted = (await reader.get(f"/jobs/{job.id}/executions")).json()["items"]
    assert (counted["usage"], uncounted["usage"]) == ({"total_tokens": 7, "cost": 0.001}, None)
    assert (await shown(reader, counted["id"]))["usage"] == counted["usage"]
