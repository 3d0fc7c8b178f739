"""Jobs by content, state, error, name and metadata; cells by state over all jobs; and the limits of a retry."""

from typing import Any

import asyncpg
import httpx2
import pytest

from db import all_executions
from db.engine import statement
from tests.support.controls import end_unknown
from tests.support.job_seeds import Seeds, completed, failed
from tests.support.reading_app import every_item

WRONG = [
    ("status=queued,done", "status", "invalid_parameter"),
    ("status=queued,", "status", "invalid_parameter"),
    ("status=,queued", "status", "invalid_parameter"),
    ("metadata.=x", "metadata.", "unknown_parameter"),
    ("metadata=x", "metadata", "unknown_parameter"),
    ("metadata.a=%00", "metadata.a", "invalid_parameter"),
    ("name_prefix=", "name_prefix", "invalid_parameter"),
]


async def found(reader: httpx2.AsyncClient, query: str) -> list[str]:
    return [item["id"] for item in await every_item(reader, f"/jobs?{query}", limit=2)]


async def run(seeds: Seeds, end: Any, **body: Any) -> Any:
    job = await seeds.submit(**body)
    await seeds.plan()
    for batch in await seeds.claim():
        await (end_unknown(seeds, batch) if end is end_unknown else seeds.record(end(batch)))
    return job


async def test_jobs_are_found_by_their_properties_and_ends(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    done = await run(seeds, completed, name="nightly-1", metadata={"team": "search", "run": 7, "is_dry": True})
    lost = await run(seeds, failed, name="nightly-2", metadata={"team": "ads"})
    cancelled = await seeds.submit(name="nightly-1")
    await reader.post(f"/jobs/{cancelled.id}/cancel")
    waiting = await seeds.submit(name="100%_done", metadata={"a.b": "x", "team": "search"})

    assert await found(reader, "status=completed,failed") == [lost.id, done.id]
    assert await found(reader, "status=queued") == [waiting.id]
    assert await found(reader, "name_prefix=nightly-") == [cancelled.id, lost.id, done.id]
    assert await found(reader, "name_prefix=100%25_") == [waiting.id]
    assert await found(reader, "name_prefix=100%25d") == await found(reader, "name_prefix=Nightly") == []
    assert await found(reader, "name=nightly-1") == [cancelled.id, done.id]
    spec_hash = (await reader.get(f"/jobs/{done.id}")).json()["spec_hash"]
    assert await found(reader, f"spec_hash={spec_hash}") == [cancelled.id, done.id]
    assert await found(reader, f"spec_hash={spec_hash}&status=cancelled") == [cancelled.id]
    assert await found(reader, "error_code=busy") == await found(reader, "error_code=success_rate_missed") == [lost.id]
    assert await found(reader, "error_code=timeout") == []
    assert await found(reader, "metadata.team=search") == [waiting.id, done.id]
    assert await found(reader, "metadata.team=search&metadata.run=7&metadata.is_dry=true") == [done.id]
    assert await found(reader, "metadata.a.b=x") == [waiting.id]
    assert await found(reader, "metadata.team=sea") == []


@pytest.mark.parametrize(("query", "parameter", "code"), WRONG)
async def test_a_filter_that_is_none_is_refused(
    reader: httpx2.AsyncClient, query: str, parameter: str, code: str
) -> None:
    answer = await reader.get(f"/jobs?{query}")
    [reason] = answer.json()["errors"]
    assert (answer.status_code, reason["parameter"], reason["code"]) == (422, parameter, code)


async def test_unknown_cells_are_listed_over_all_jobs(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    questions = ["One?", "Two?", "Three?"]
    await run(seeds, completed, questions=questions)
    older = await run(seeds, end_unknown, questions=questions)
    await run(seeds, failed, questions=questions)
    newer = await run(seeds, end_unknown, questions=questions[:2])
    cells = await every_item(reader, "/executions?status=unknown", limit=2)
    assert [cell["job_id"] for cell in cells] == [newer.id] * 2 + [older.id] * 3
    for job in (older, newer):
        own = (await reader.get(f"/jobs/{job.id}/executions?status=unknown")).json()["items"]
        assert [cell for cell in cells if cell["job_id"] == job.id] == own


async def test_cells_of_every_state_are_listed_over_all_jobs(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    for end in (completed, failed, end_unknown):
        await run(seeds, end, questions=["One?", "Two?"])
    held = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [batch, *_] = await seeds.claim(cells=1)
    assert batch.job_no == held.job_no
    gone = await seeds.submit()
    await seeds.plan()
    await reader.post(f"/jobs/{gone.id}/cancel")
    everything = await every_item(reader, "/executions", limit=3)
    states = {"completed": 2, "failed": 2, "unknown": 2, "running": 1, "planned": 1, "cancelled": 1}
    for state, count in states.items():
        cells = await every_item(reader, f"/executions?status={state}", limit=1)
        assert cells == [cell for cell in everything if cell["status"] == state]
        assert len(cells) == count
    assert len(everything) == sum(states.values())


@pytest.mark.parametrize(("most_jobs", "most_cells"), [(1, 1000), (2, 1000), (100, 1), (100, 3), (100, 4)])
async def test_a_page_looks_into_few_jobs_and_the_next_one_goes_on(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch, most_jobs: int, most_cells: int
) -> None:
    seeds.batch_cells = 1
    for _ in range(5):
        await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    await seeds.claim(cells=1)
    expected = {status: await pages_of(reader, f"?status={status}") for status in ("running", "planned")}
    expected[""] = await pages_of(reader, "")
    assert {status: len(pages) for status, pages in expected.items()} == dict.fromkeys(expected, 1)
    monkeypatch.setattr(all_executions, "MOST_JOBS", most_jobs)
    monkeypatch.setattr(all_executions, "MOST_CELLS", most_cells)
    for status, [whole] in expected.items():
        pages = await pages_of(reader, f"?status={status}" if status else "")
        assert [cell for page in pages for cell in page] == whole
        assert max(len(page) for page in pages) <= 2 * most_jobs
    running = await pages_of(reader, "?status=running")
    assert [] in running  # it found none in the jobs that it looked into
    assert len(running) >= 3


async def pages_of(reader: httpx2.AsyncClient, query: str) -> list[list[Any]]:
    """All pages of the list of executions."""
    pages, path = [], f"/executions{query}"
    while path:
        answer = await reader.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        path = answer.links.get("next", {}).get("url", "")
        assert len(pages) < 20
    return pages


async def test_a_retry_of_an_unknown_cell_says_how_to_resolve_it(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await run(seeds, end_unknown, questions=["One?", "Two?"])
    for query in ("", "?dry_run=true"):
        answer = (await reader.post(f"/jobs/{job.id}/retry{query}")).json()
        assert (answer["id"], answer["retried"], answer["unknown"]) == (job.id, 0, 2)
        assert "resolve" in answer["detail"]


async def test_a_batch_goes_by_id_as_everything_does(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await run(seeds, completed)
    [batch] = (await reader.get(f"/jobs/{job.id}/waves/1/batches")).json()["items"]
    assert (batch["id"], batch["batch_id"]) == ("1", "1")


async def test_an_audit_of_nothing_says_that_it_checked_nothing(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    await run(seeds, completed)
    full = (await reader.get("/audit")).json()["totals"]
    assert (full["checked"], full["detail"]) == (1, None)
    empty = (await reader.get("/audit?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z")).json()["totals"]
    assert (empty["checked"], empty["jobs"]) == (0, 0)
    assert "nothing was checked" in empty["detail"]


@pytest.mark.parametrize("query", ["since=2020-01-02&until=2020-01-01", "since=9000-01-01"])
async def test_an_audit_of_a_window_that_ends_before_it_begins_is_refused(
    reader: httpx2.AsyncClient, query: str
) -> None:
    answer = await reader.get(f"/audit?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "reversed_window")


async def test_looking_for_unknown_cells_reads_no_job_without_any(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """By the plan that is cached for a statement, for any filter."""
    await run(seeds, end_unknown)
    await run(seeds, completed)
    await rows.execute("SET plan_cache_mode = force_generic_plan")
    await rows.execute("SET enable_seqscan = off")
    await rows.execute("SET enable_bitmapscan = off")
    await rows.execute(f"PREPARE looking (int, text, bigint, int, int) AS {statement('find_jobs_with_cells')}")
    asked = f"1, 'unknown', {2**63 - 1}, 100, 20000"
    plan = await rows.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE looking ({asked})")
    [index] = [row[0] for row in plan if "jobs_with_unknown" in row[0]]
    assert "rows=1" in index
    others = [row[0] for row in plan if " on jobs " in row[0] and row[0] != index]
    assert others
    assert all("never executed" in line for line in others), others
