"""The order of imports over HTTP: in job, dataset, batches and audit, and for retries that are refused."""

import httpx2
import pytest

from db.engine import Engine, connect
from db.import_reports import ImportReport, ReadRow
from tests.support.import_steps import ImportSteps, failed, plan_of

SPEC = {"dataset": "ledger", "record_types": [{"id": "type-0", "source": {"type": "file"}, "depends_on": []}]}


@pytest.fixture
def ledger(engine: Engine) -> ImportSteps:
    return ImportSteps(engine)


async def get(reader: httpx2.AsyncClient, path: str, **parameters: str) -> dict:
    answer = await reader.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def id_of(ledger: ImportSteps, job_no: int) -> str:
    async with connect(ledger.engine) as connection:
        return await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)


async def record(ledger: ImportSteps, job_no: int, payload: str | None) -> None:
    """Let the one batch of an import read these three rows; without a payload it can't."""
    [claimed] = [claim for claim in await ledger.claim() if claim[0].job_no == job_no]
    rows = [ReadRow(f"{n}", payload or "", n) for n in range(3)]
    await ledger.record(ImportReport(*claimed, "completed", rows_read=3, records=rows) if payload else failed(*claimed))


async def record_type(reader: httpx2.AsyncClient) -> dict:
    [dataset] = (await get(reader, "/datasets"))["items"]
    [found] = dataset["record_types"]
    return found


async def test_a_superseded_import_says_so_everywhere(reader, ledger) -> None:
    jobs = [await ledger.coordinate(plan_of([1])) for _ in range(2)]
    older, newer = [await id_of(ledger, job) for job in jobs]
    claimed = {claim[0].job_no: claim for claim in await ledger.claim()}
    for job_no, payload in ((jobs[1], "[2]"), (jobs[0], "[1]")):
        rows = [ReadRow(f"{n}", payload, n) for n in range(3)]
        await ledger.record(ImportReport(*claimed[job_no], "completed", rows_read=3, records=rows))
    for job_id, generation, superseded, by in ((older, 1, 3, [newer]), (newer, 2, 0, [])):
        [progress] = (await get(reader, f"/jobs/{job_id}"))["import_progress"]["record_types"]
        assert (progress["generation"], progress["superseded_by"]) == (generation, by)
        assert progress["rows"]["superseded"] == superseded
        audit = await get(reader, f"/jobs/{job_id}/audit")
        assert (audit["superseded"], audit["holds"]) == (superseded, True)
        assert audit["record_types"] == [{"id": "type-0", "generation": generation, "newest_generation": 2}]
        [batch] = (await get(reader, f"/jobs/{job_id}/waves/1/batches"))["items"]
        assert batch["rows_superseded"] == superseded
    assert (await get(reader, "/audit"))["totals"]["superseded"] == 3
    found = await record_type(reader)
    assert (found["generation"], found["last_import"]["job_id"], found["last_import"]["generation"]) == (2, newer, 2)
    records = (await get(reader, "/datasets/ledger/records", record_type="type-0"))["items"]
    assert {(record["payload"][0], record["generation"], record["job_id"]) for record in records} == {(2, 2, newer)}


async def test_a_dataset_names_the_newest_completed_import_even_if_another_ended_later(reader, ledger) -> None:
    jobs = [await ledger.coordinate(plan_of([1])) for _ in range(3)]
    ids = [await id_of(ledger, job) for job in jobs]
    assert (await record_type(reader))["last_import"] is None
    assert (await record_type(reader))["newest_import"]["job_id"] == ids[2]
    claimed = {claim[0].job_no: claim for claim in await ledger.claim()}

    async def end(n: int, status: str) -> dict:
        claim = claimed[jobs[n]]
        await ledger.record(failed(*claim) if status == "failed" else ImportReport(*claim, "completed"))
        return await record_type(reader)

    assert (await end(1, "completed"))["last_import"]["job_id"] == ids[1]
    assert (await end(0, "completed"))["last_import"]["job_id"] == ids[1]
    found = await end(2, "failed")
    assert (found["last_import"]["job_id"], found["last_import"]["generation"]) == (ids[1], 2)
    assert (found["newest_import"]["job_id"], found["newest_import"]["status"]) == (ids[2], "failed")
    assert (found["newest_import"]["generation"], found["generation"]) == (3, 3)


async def test_a_retry_of_a_superseded_import_is_refused_and_says_by_which(reader, ledger) -> None:
    older = await ledger.coordinate(plan_of([1]))
    await record(ledger, older, None)
    newer = await ledger.coordinate(plan_of([1]))
    await record(ledger, newer, "[2]")
    job_id = await id_of(ledger, older)
    for query in ("", "?dry_run=true"):
        answer = await reader.post(f"/jobs/{job_id}/retry{query}")
        assert (answer.status_code, answer.json()["code"]) == (409, "superseded"), answer.text
        assert answer.json()["superseded_by"] == await id_of(ledger, newer)
    assert (await get(reader, f"/jobs/{job_id}"))["status"] == "failed"


async def test_a_waiting_import_names_the_import_that_it_waits_for(reader, ledger) -> None:
    first, second = [await ledger.submit(SPEC) for _ in range(2)]
    coordination = await ledger.begin(first)
    await ledger.begin_or_wait(second)
    first_id, second_id = [await id_of(ledger, job_no) for job_no in (first, second)]
    job = await get(reader, f"/jobs/{second_id}")
    waits = job["import_progress"]["coordination"]["waits_for"]
    assert (waits["job_id"], waits["record_type"], waits["until"]) == (first_id, "type-0", "planned")
    assert (job["status"], job["held"]["reason"]) == ("queued", "other_import")
    assert first_id in job["held"]["detail"]
    assert (await get(reader, "/queue"))["oldest_owed_seconds"] is None
    await ledger.write(coordination, plan_of([1]))
    job = await get(reader, f"/jobs/{second_id}")
    assert (job["held"], job["import_progress"]["coordination"]["waits_for"]) == (None, None)
