"""Cancel, retry and triggers of imports: allowed at any time, and safe to repeat."""

import asyncio

import pytest

from db import import_coordination
from db.engine import create_engine
from tests.support.import_steps import SERVED, ImportSteps, failed, plan_of, read
from tests.support.imports_over_http import get
from tests.support.service import Client, api_client


@pytest.fixture
async def client(start_api, database_url, redis_url):
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        yield client


@pytest.fixture
async def ledger(database_url):
    engine = create_engine(database_url, size=4, pinned_plans=True)
    yield ImportSteps(engine)
    await engine.dispose()


async def id_of(client: Client, job_no: int) -> str:
    return await client.database.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)


async def test_a_cancel_ends_open_batches_and_rows_read_by_then_change_nothing(ledger, client) -> None:
    job_no = await ledger.coordinate(plan_of([3], [2]))
    first, second, third = await ledger.claim()
    await ledger.record(read(*first))
    job_id = await id_of(client, job_no)
    answer = await client.http.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    recorded = await ledger.record(read(*second), read(*third))
    assert len(recorded.stale) == 2
    job = await get(client, f"/jobs/{job_id}")
    assert (job["progress"]["completed"], job["progress"]["cancelled"]) == (1, 4)
    assert await client.database.fetchval("SELECT count(*) FROM imported_records") == 3
    again = await client.http.post(f"/jobs/{job_id}/cancel")
    assert again.status_code == 200
    refused = await client.http.post(f"/jobs/{job_id}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_cancelled")


async def test_a_cancel_while_it_is_coordinated_fences_the_coordinator_off(ledger, client) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)
    job_id = await id_of(client, job_no)
    answer = await client.http.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert await ledger.write(coordination, plan_of([3])) is None
    triggers = (await get(client, f"/jobs/{job_id}/coordination"))["items"]
    assert [trigger["outcome"] for trigger in triggers] == ["failed"]


async def test_cancels_and_plans_that_race_leave_no_running_job(ledger, client) -> None:
    for _ in range(20):
        job_no = await ledger.submit()
        coordination = await ledger.begin(job_no)
        job_id = await id_of(client, job_no)
        await asyncio.gather(client.http.post(f"/jobs/{job_id}/cancel"), ledger.write(coordination, plan_of([3], [1])))
        states = await client.database.fetch(
            """
            SELECT j.status, array_agg(DISTINCT b.status) AS batches
            FROM jobs AS j LEFT JOIN batches AS b USING (job_no) WHERE j.job_no = $1 GROUP BY j.status
            """,
            job_no,
        )
        assert [tuple(row) for row in states] in ([("cancelled", [None])], [("cancelled", ["cancelled"])])


async def test_a_retry_reopens_failed_batches_only_and_the_waves_go_on(ledger, client) -> None:
    job_no = await ledger.coordinate(plan_of([3], [2]))
    first, second, third = await ledger.claim()
    await ledger.record(read(*first), failed(*second), failed(*third))
    job_id = await id_of(client, job_no)
    batches = (await get(client, f"/jobs/{job_id}/waves/1/batches", status="failed"))["items"]
    assert [(batch["batch_id"], batch["error"]["code"]) for batch in batches] == [
        ("2", "source_unreadable"),
        ("3", "source_unreadable"),
    ]
    preview = await client.http.post(f"/jobs/{job_id}/retry?dry_run=true")
    assert {name: preview.json()[name] for name in ("status", "retried", "untouched")} == {
        "status": "running",
        "retried": 2,
        "untouched": 3,
    }
    answers = await asyncio.gather(*(client.http.post(f"/jobs/{job_id}/retry") for _ in range(5)))
    assert sorted(answer.json()["retried"] for answer in answers) == [0, 0, 0, 0, 2]
    assert {answer.json()["untouched"] for answer in answers} == {3, 5}
    claimed = await ledger.claim()
    assert [(claim.batch_no, given.attempts, given.forgiven) for claim, given in claimed] == [(2, 1, 1), (3, 1, 1)]
    await ledger.record(*(read(*claim) for claim in claimed))
    await ledger.run_all()
    job = await get(client, f"/jobs/{job_id}")
    assert (job["status"], job["error"], job["progress"]["completed"]) == ("completed", None, 5)
    triggers = (await get(client, f"/jobs/{job_id}/coordination"))["items"]
    assert [(trigger["source"], trigger["outcome"]) for trigger in triggers] == [
        ("initial", "won"),
        ("retry", "joined"),
    ]
    events = (await get(client, f"/jobs/{job_id}/events"))["items"]
    assert [event["data"]["verdict"] for event in events if event["type"] == "retried"] == ["failed"]


async def test_a_retry_while_the_wave_still_runs(ledger, client) -> None:
    job_no = await ledger.coordinate(plan_of([2], [1]))
    first, second = await ledger.claim()
    await ledger.record(failed(*first))
    job_id = await id_of(client, job_no)
    assert (await client.http.post(f"/jobs/{job_id}/retry")).json()["retried"] == 1
    await ledger.record(read(*second))
    await ledger.run_all()
    assert (await get(client, f"/jobs/{job_id}"))["status"] == "completed"


async def test_a_retry_of_an_import_whose_coordination_failed_coordinates_it_again(ledger, client) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)
    await ledger.fail(coordination, "source_missing", "There is no such file.")
    job_id = await id_of(client, job_no)
    foreseen = await client.http.post(f"/jobs/{job_id}/retry?dry_run=true")
    assert (await get(client, f"/jobs/{job_id}"))["status"] == "failed"
    answer = await client.http.post(f"/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()) == (
        200,
        {"id": job_id, "status": "queued", "retried": 0, "untouched": 0, "unknown": 0, "detail": None},
    )
    assert foreseen.json() == answer.json()
    again = await ledger.begin(job_no)
    assert (again.source, again.fence) == ("retry", 2)
    await ledger.write(again, plan_of([1]))
    await ledger.run_all()
    assert (await get(client, f"/jobs/{job_id}"))["status"] == "completed"
    triggers = (await get(client, f"/jobs/{job_id}/coordination"))["items"]
    assert [(trigger["source"], trigger["outcome"]) for trigger in triggers] == [
        ("initial", "failed"),
        ("retry", "won"),
    ]


UNAVAILABLE = {"code": "source_away", "detail": "Nobody answers."}


async def rescheduled_import(ledger: ImportSteps) -> int:
    job_no = await ledger.submit()
    await ledger.reschedule(await ledger.begin(job_no), **UNAVAILABLE)
    return job_no


async def error(client: Client, job_id: str) -> object:
    return (await get(client, f"/jobs/{job_id}"))["import_progress"]["coordination"]["error"]


async def test_an_import_that_was_rescheduled_says_why_until_it_is_planned(ledger, client) -> None:
    job_no = await rescheduled_import(ledger)
    job_id = await id_of(client, job_no)
    job = await get(client, f"/jobs/{job_id}")
    assert (job["status"], job["error"], job["import_progress"]["coordination"]["error"]) == (
        "queued",
        None,
        UNAVAILABLE,
    )
    assert (await client.http.post(f"/jobs/{job_id}/coordinate")).status_code == 202
    coordination = await ledger.begin(job_no)
    assert await error(client, job_id) == UNAVAILABLE
    await ledger.write(coordination, plan_of([1]))
    assert await error(client, job_id) is None


async def test_the_last_try_of_a_failed_import_is_shown_until_it_is_retried(ledger, client) -> None:
    job_no = await rescheduled_import(ledger)
    job_id = await id_of(client, job_no)
    await client.http.post(f"/jobs/{job_id}/coordinate")
    gone = {"code": "source_missing", "detail": "There is no such file."}
    await ledger.fail(await ledger.begin(job_no), **gone)
    job = await get(client, f"/jobs/{job_id}")
    assert job["error"] == job["import_progress"]["coordination"]["error"] == gone
    await client.http.post(f"/jobs/{job_id}/retry")
    assert await error(client, job_id) is None


async def test_an_import_that_was_rescheduled_is_stuck_and_may_be_tried_at_once(ledger, client) -> None:
    job_no = await rescheduled_import(ledger)
    job_id = await id_of(client, job_no)
    assert (await get(client, "/queue"))["stuck"] == []
    await client.database.execute(
        "UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour',"
        " started_at = now() - interval '1 hour'"
    )
    (entry,) = (await get(client, "/queue"))["stuck"]
    assert (entry["job_id"], entry["batch_id"], entry["reason"]) == (job_id, None, "put_off")
    assert entry["detail"] == "Its coordination failed with source_away: Nobody answers."
    assert entry["next"].startswith("It is tried again at 20")
    assert await import_coordination.find_imports(client.database, SERVED, limit=5) == []
    assert (await client.http.post(entry["action"]["path"])).status_code == 202
    assert await import_coordination.find_imports(client.database, SERVED, limit=5) == [(job_no, job_id)]
    assert [entry["reason"] for entry in (await get(client, "/queue"))["stuck"]] != ["put_off"]


async def test_the_code_of_a_failed_coordination_narrows_its_retry(ledger, client) -> None:
    job_no = await ledger.submit()
    await ledger.fail(await ledger.begin(job_no), "source_missing", "There is no such file.")
    path = f"/jobs/{await id_of(client, job_no)}/retry"
    for code, status in (("source_unreadable", "failed"), ("source_missing", "queued")):
        for query in ("?dry_run=true", ""):
            answer = await client.http.post(path + query, json={"error_code": code})
            assert (answer.status_code, answer.json()["status"]) == (200, status)


async def test_a_retry_of_an_import_by_region_or_model_is_refused(ledger, client) -> None:
    job_no = await ledger.coordinate(plan_of([1]))
    await ledger.record(failed(*(await ledger.claim())[0]))
    path = f"/jobs/{await id_of(client, job_no)}/retry"
    for query in ("?dry_run=true", ""):
        answer = await client.http.post(path + query, json={"region": "EU", "model": "m"})
        assert (answer.status_code, answer.json()["code"]) == (422, "misplaced_field")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/region", "/model"]


async def test_the_audit_recounts_imports_in_any_state(ledger, client) -> None:
    waiting = await ledger.submit()
    running = await ledger.coordinate(plan_of([2], [1]))
    await ledger.record(read(*(await ledger.claim())[0]))
    done = await ledger.coordinate(plan_of([2], [1]))
    await ledger.run_all()
    broken = await ledger.coordinate(plan_of([1], [1]))
    await ledger.record(failed(*(await ledger.claim())[-1]))
    for job_no, counts in ((waiting, (0, 0, 0)), (running, None), (done, (3, 3, 0)), (broken, (2, 1, 1))):
        audit = await get(client, f"/jobs/{await id_of(client, job_no)}/audit")
        assert audit["holds"], audit
        if counts:
            assert (audit["planned"], audit["terminal"], audit["open"]) == counts
    await client.database.execute("UPDATE import_batches SET batch_no = 99 WHERE job_no = $1 AND batch_no = 3", done)
    audit = await get(client, f"/jobs/{await id_of(client, done)}/audit")
    assert not audit["holds"]
