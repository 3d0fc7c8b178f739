"""How far an import is: its rate, the time left, and why a record type isn't complete."""

from typing import Any

import httpx2
import pytest

from db.engine import Engine
from tests.support.import_steps import ImportSteps, failed, plan_of, read


@pytest.fixture
def ledger(engine: Engine) -> ImportSteps:
    return ImportSteps(engine)


@pytest.fixture
def progress_of(reader: httpx2.AsyncClient, rows) -> Any:
    """Show the import with a key: its status and how far it is."""

    async def show(job_no: int) -> tuple[str, dict[str, Any]]:
        job_id = await rows.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
        job = (await reader.get(f"/jobs/{job_id}")).json()
        return job["status"], job["import_progress"]

    return show


async def lay_back(rows: Any, job_no: int, *, seconds: float) -> None:
    """Let the batches that have ended have taken ten seconds each and ended so long ago."""
    await rows.execute(
        """
        UPDATE batches
        SET finished_at = now() - $2 * interval '1 second', started_at = now() - ($2 + 10) * interval '1 second'
        WHERE job_no = $1 AND finished_at IS NOT NULL
        """,
        job_no,
        seconds,
    )


async def test_the_rate_is_of_the_last_batches_without_a_night_in_between(ledger, progress_of, rows) -> None:
    job_no = await ledger.coordinate(plan_of([4], rows=100))
    first, second, *_ = await ledger.claim()
    assert (await progress_of(job_no))[1]["rows_per_second"] is None
    await ledger.record(read(*first))
    await lay_back(rows, job_no, seconds=8 * 3600)
    await ledger.record(read(*second))
    await rows.execute(
        "UPDATE batches SET started_at = finished_at - interval '10 seconds' WHERE job_no = $1 AND batch_no = 2", job_no
    )
    status, progress = await progress_of(job_no)
    assert (status, progress["rows"]["read"], progress["rows_per_second"]) == ("running", 200, 10.0)
    assert progress["seconds_left"] == 20.0


async def test_an_import_that_has_ended_has_no_time_left(ledger, progress_of, rows) -> None:
    job_no = await ledger.coordinate(plan_of([2], rows=100))
    first, second = await ledger.claim()
    await ledger.record(read(*first), failed(*second))
    await lay_back(rows, job_no, seconds=0)
    status, progress = await progress_of(job_no)
    assert (status, progress["rows_per_second"], progress["seconds_left"]) == ("failed", 10.0, None)


@pytest.mark.parametrize("detail", [None, "Its view has no key."])
async def test_rows_that_were_gone_are_reported_where_they_are_missed(ledger, progress_of, detail) -> None:
    job_no = await ledger.coordinate(plan_of([2, 1], rows=100, detail=detail))
    first, second, third = await ledger.claim()
    await ledger.record(read(*first, rows=70), read(*third))
    await ledger.record(read(*second, rows=95))
    status, progress = await progress_of(job_no)
    short, whole = progress["record_types"]
    gone = "35 of 200 rows that were counted were gone when they were read."
    assert (status, short["detail"]) == ("partial", f"{detail} {gone}" if detail else gone)
    assert (short["is_complete"], whole["is_complete"], whole["detail"]) == (False, detail is None, detail)
