"""The audit is right: it holds after everything the service did, and fails once rows were tampered with."""

import random
from typing import Any

import httpx2
import pytest

from db.audit import MUST_BE_ZERO
from tests.support.cell_histories import CellHistories, CellHistory, random_histories
from tests.support.controls import end_unknown
from tests.support.job_seeds import Seeds, completed, failed, retried
from tests.support.reading_app import every_item

TAMPERED = {
    "UPDATE jobs SET completed = completed - 1, status = 'running', finished_at = NULL": "progress_differs",
    "UPDATE batches SET open_cells = 1, status = 'pending', finished_at = NULL WHERE batch_no = 1": "batches_differ",
    "UPDATE waves SET total_batches = 2": "waves_differ",
    "UPDATE executions SET batch_no = 77 WHERE question_no = 0": "orphans",
    "UPDATE executions SET question_no = 150 WHERE question_no = 0": "out_of_plan",
    "UPDATE executions SET model_no = 9": "out_of_plan",
    "DELETE FROM executions WHERE question_no = 0": "out_of_plan",
    "UPDATE executions SET status = 'planned', finished_at = NULL WHERE question_no = 0": "open_in_terminal",
    "UPDATE executions SET attempts = 2 WHERE question_no = 0": "tries_differ",
    "UPDATE executions SET attempts = 0 WHERE question_no = 0": "tries_differ",
    "UPDATE executions SET provider_used = NULL WHERE question_no = 0": "tries_differ",
    "UPDATE executions SET identity_no = 2 WHERE question_no = 0": "config_mismatches",
}


async def audit(reader: httpx2.AsyncClient, job_id: str) -> Any:
    answer = await reader.get(f"/jobs/{job_id}/audit")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_job_holds_at_every_step(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 2
    job = await seeds.submit(models=["a", "b"], regions=["US", "EU"], questions=["One?", "Two?"])

    async def counted() -> tuple[int, int, int]:
        found = await audit(reader, job.id)
        assert (found["holds"], found["violations"], found["planned"]) == (True, [], 8)
        assert found["duplicates"] == found["out_of_plan"] == found["orphans"] == 0
        return found["terminal"], found["open"], found["attempts"]

    assert await counted() == (0, 8, 0)
    await seeds.plan()
    assert await counted() == (0, 8, 0)
    first, second, *_ = await seeds.claim(cells=4)
    await seeds.record(completed(first, first=1), retried(second))
    assert await counted() == (1, 7, 3)
    again = await seeds.claim()
    await seeds.record(*(failed(batch) for batch in again))
    assert await counted() == (7, 1, 9)


async def test_calls_of_other_providers_than_echo_are_external(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    await seeds.record(*(retried(batch, provider="hybrid") for batch in await seeds.claim()))
    await seeds.record(*(failed(batch, provider="hybrid") for batch in await seeds.claim()))
    found = await audit(reader, job.id)
    assert (found["attempts"], found["external_calls"]) == (4, 4)
    echoed = await seeds.submit()
    await seeds.run_all()
    assert (await audit(reader, echoed.id))["external_calls"] == 0


async def test_a_call_counts_once_despite_later_actions_of_people(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    first, second = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
    await seeds.record(failed(first, provider="hybrid"))
    await end_unknown(seeds, second, provider="hybrid")
    for path, body in (
        (f"/executions/{job.job_no}-0-0-1/resolve", {"status": "failed"}),
        (f"/jobs/{job.id}/retry", {}),
        (f"/jobs/{job.id}/cancel", {}),
    ):
        found = await audit(reader, job.id)
        assert (found["attempts"], found["external_calls"], found["holds"]) == (2, 2, True)
        assert (await reader.post(path, json=body)).status_code < 300
    found = await audit(reader, job.id)
    assert (found["attempts"], found["external_calls"], found["holds"]) == (2, 2, True)


@pytest.mark.parametrize("seed", range(4))
async def test_every_call_counts_once_for_any_end_of_its_cell(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, seed: int
) -> None:
    lives = await random_histories(seeds, rows, seed)
    found = await audit(reader, lives[0].job.id)
    assert (found["holds"], found["violations"]) == (True, [])
    assert found["external_calls"] == sum(life.calls for life in lives) > 0
    assert found["attempts"] == sum(len(life.tries) for life in lives) > found["external_calls"]


async def test_a_cell_that_is_given_up_counts_as_no_call(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    lives = CellHistories(rows, random.Random(1))
    for question_no in range(2):
        await lives.give_up(CellHistory(job, (job.job_no, 0, 0, question_no)))
    found = await audit(reader, job.id)
    assert (found["attempts"], found["external_calls"], found["terminal"]) == (0, 0, 2)
    assert "tries_differ" not in found["violations"]


async def test_a_try_more_or_less_than_counted_is_found(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    for tampering in (
        "DELETE FROM attempts WHERE job_no = $1",
        "UPDATE attempts SET attempt_no = 5 WHERE job_no = $1",
        "UPDATE executions SET attempts = 0 WHERE job_no = $1",
    ):
        job = await seeds.submit()
        await seeds.plan()
        await seeds.record(*(retried(batch, provider="hybrid") for batch in await seeds.claim()))
        assert (await audit(reader, job.id))["holds"]
        await rows.execute(tampering, job.job_no)
        assert (tampering, (await audit(reader, job.id))["violations"]) == (tampering, ["tries_differ"])
        await rows.execute("DELETE FROM ready")


async def test_jobs_that_ended_unplanned_hold(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    unplannable = await seeds.submit()
    cancelled = await seeds.submit()
    await rows.execute(
        "UPDATE jobs SET status = 'failed', error_code = 'x', finished_at = now() WHERE job_no = $1", unplannable.job_no
    )
    await rows.execute(
        "UPDATE jobs SET status = 'cancelled', cancelled = planned, finished_at = now() WHERE job_no = $1",
        cancelled.job_no,
    )
    for job in (unplannable, cancelled):
        found = await audit(reader, job.id)
        assert (found["holds"], found["terminal"], found["open"]) == (True, 0, 0)


async def test_each_tampering_is_found(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    found = {}
    for statement, invariant in TAMPERED.items():
        job = await seeds.submit(questions=["One?", "Two?"])
        await seeds.run_all()
        assert (await audit(reader, job.id))["holds"]
        async with rows.transaction():
            await rows.execute("SET LOCAL session_replication_role = replica")  # no triggers: what a vandal could do
            condition = " AND " if "WHERE" in statement else " WHERE "
            await rows.execute(f"{statement}{condition}job_no = {job.job_no}")
        tampered = await audit(reader, job.id)
        found[statement] = invariant if not tampered["holds"] and invariant in tampered["violations"] else tampered
    assert found == TAMPERED
    assert {*TAMPERED.values(), "duplicates"} == set(MUST_BE_ZERO)


async def test_a_duplicate_would_be_found(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    await rows.execute("ALTER TABLE executions DROP CONSTRAINT unique_execution_per_job_region_model_question")
    await rows.execute("ALTER TABLE executions DISABLE TRIGGER ALL")
    await rows.execute("INSERT INTO executions SELECT * FROM executions")
    found = await audit(reader, job.id)
    assert (found["holds"], found["duplicates"], "duplicates" in found["violations"]) == (False, 1, True)


async def test_a_window_sums_up_its_jobs(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    jobs = [await seeds.submit(questions=["One?", "Two?"]) for _ in range(5)]
    await seeds.plan()
    first, *_ = await seeds.claim()
    await seeds.record(completed(first))
    found = (await reader.get("/audit?limit=2")).json()
    totals = found["totals"]
    assert (totals["jobs"], totals["planned"], totals["terminal"], totals["open"]) == (5, 10, 2, 8)
    assert (totals["holds"], totals["complete"]) == (True, True)
    assert [item["job_id"] for item in found["items"]] == [job.id for job in jobs[:2:-1]]
    listed = await every_item(reader, "/audit", limit=2)
    assert [item["job_id"] for item in listed] == [job.id for job in reversed(jobs)]
    assert sum(item["terminal"] for item in listed) == 2


async def test_a_window_holds_the_jobs_created_in_it(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    old, new = await seeds.submit(), await seeds.submit()
    await rows.execute("UPDATE jobs SET created_at = now() - interval '2 days' WHERE job_no = $1", old.job_no)
    recent = (await reader.get("/audit")).json()
    assert [item["job_id"] for item in recent["items"]] == [new.id]
    everything = (await reader.get("/audit?since=2020-01-01T00:00:00Z")).json()
    assert everything["totals"]["jobs"] == 2
    until = recent["since"].replace("+00:00", "Z")
    assert [
        item["job_id"] for item in (await reader.get(f"/audit?until={until}&since=2020-01-01")).json()["items"]
    ] == [old.id]


async def test_tampering_with_one_job_shows_in_the_window(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    seeded = await seeds.submit()
    await seeds.submit()
    await seeds.run_all()
    await rows.execute(
        "UPDATE batches SET open_cells = 1, status = 'pending', finished_at = NULL WHERE job_no = $1", seeded.job_no
    )
    found = (await reader.get("/audit")).json()
    assert (found["totals"]["holds"], found["totals"]["violations"]) == (False, ["batches_differ", "waves_differ"])
    assert [item["holds"] for item in found["items"]] == [True, False]


async def test_a_window_past_the_bound_says_so(reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: Any) -> None:
    monkeypatch.setattr("db.audit.MAX_CELLS", 2)
    for _ in range(4):
        await seeds.submit()
    totals = (await reader.get("/audit")).json()["totals"]
    assert (totals["jobs"], totals["complete"]) == (2, False)


async def test_wrong_windows_are_refused(reader: httpx2.AsyncClient) -> None:
    for query in ("since=x", "until=1", "limit=0", "cursor=x", "from=2026-01-01"):
        assert (query, (await reader.get(f"/audit?{query}")).status_code) == (query, 422)
    assert (await reader.get("/audit?since=2026-02-01&until=2026-01-01")).status_code == 422
