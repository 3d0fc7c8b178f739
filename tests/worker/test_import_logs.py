"""What workers log of imports: by the job's id, a line per load and code, and nothing alarming about a cancel."""

import pytest
import structlog
from structlog.testing import capture_logs

from db import cancelling
from db.batches import ClaimedBatch
from db.controls import Actor
from db.import_reports import ImportRange, ImportReport
from db.import_results import ImportAdvanced, ImportRecorded
from runtime.metrics import DUPLICATES_PREVENTED
from tests.support.connections import publish_envelopes
from tests.support.erp_source import SCHEMA, table_held
from tests.support.import_bodies import csv_type, import_body, store_import
from tests.support.outcomes import all_ended, counter_total
from tests.support.waiting import eventually_async
from worker.imports import load_logs

GATE = 4711


def report(batch_no: int, status: str, code: str | None, *, job_no: int = 1, type_no: int = 0) -> ImportReport:
    batch = ClaimedBatch(
        job_no=job_no,
        batch_no=batch_no,
        wave_no=1,
        next_batch_no=None,
        provider="import",
        region="",
        region_no=0,
        fence=3,
        holder=1,
        virtual_finish_time=0,
        waited_seconds=0,
        claimed_at=0,
        model_nos=[0],
        question_nos=[0],
        attempts=[0],
        forgiven=[0],
        key_nos=[0],
        marked=[False],
    )
    given = ImportRange(type_no, 1, 1, {}, 5, 0, 0, f"job-{job_no}", f"type-{type_no}")
    return ImportReport(batch, given, status, error_code=code, error_detail=code and "Gone.")


def logged(recorded: ImportRecorded) -> list:
    with capture_logs() as lines:
        load_logs.log_load(structlog.stdlib.get_logger(), recorded)
    return lines


def test_batches_of_a_load_that_are_rescheduled_for_one_reason_are_one_line_per_job() -> None:
    lines = logged(
        ImportRecorded(
            written=[
                *(report(n, "pending", "source_away", type_no=n % 2) for n in range(1, 31)),
                report(31, "pending", "source_busy"),
                report(1, "pending", "source_away", job_no=2),
                report(32, "completed", None),
            ]
        )
    )
    assert {line["event"] for line in lines} == {"batch_put_off"}
    assert [(line["job_id"], line["code"], line["batches"]) for line in lines] == [
        ("job-1", "source_away", 30),
        ("job-1", "source_busy", 1),
        ("job-2", "source_away", 1),
    ]
    assert lines[0]["record_types"] == ["type-0", "type-1"]
    assert len(lines[0]["batch_nos"]) == load_logs.NAMED_BATCHES


def test_failed_batches_of_a_load_are_one_line_with_a_few_of_their_numbers() -> None:
    batches = [report(n, "failed", "unreadable", type_no=n % 9) for n in range(1, 31)]
    (line,) = logged(ImportRecorded(written=batches))
    assert (line["event"], line["job_id"], line["code"], line["batches"]) == ("batch_failed", "job-1", "unreadable", 30)
    assert line["batch_nos"] == list(range(1, 11))
    assert len(line["record_types"]) == load_logs.NAMED_RECORD_TYPES


def test_a_stale_batch_is_named_as_people_know_it() -> None:
    (line,) = logged(ImportRecorded(stale=[report(7, "completed", None, type_no=2)]))
    assert (line["event"], line["reason"], line["fence"]) == ("duplicate_prevented", "stale_lease", 3)
    assert (line["job_id"], line["batch_no"], line["record_type"]) == ("job-1", 7, "type-2")


def test_a_wave_says_how_it_ended() -> None:
    (line,) = logged(ImportRecorded(jobs=[ImportAdvanced(1, "job-1", "running", 1, "partial", 2)]))
    assert {name: line[name] for name in ("event", "job_id", "wave", "status", "opened_wave")} == {
        "event": "wave_ended",
        "job_id": "job-1",
        "wave": 1,
        "status": "partial",
        "opened_wave": 2,
    }


@pytest.fixture
async def cancel(connection):
    """Cancel a job as a person would."""

    async def cancel(job_no: int) -> None:
        async with connection.transaction():
            tenant_no, job_id = await connection.fetchrow("SELECT tenant_no, id FROM jobs WHERE job_no = $1", job_no)
            await cancelling.cancel(connection, tenant_no, job_id, Actor("a test", None, 1))

    return cancel


async def id_of(connection, job_no: int) -> str:
    return await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)


def table_body(table: str) -> dict:
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.{table}"}
    return import_body({"id": table, "key": ["id"], "source": source}, policy={"batch_size": 100})


async def test_a_cancel_while_it_is_counted_is_no_duplicate(fleet, erp, connection, redis_url, cancel) -> None:
    await erp.table("customer", 600)
    job_no = await store_import(connection, table_body("customer"))
    job_id = await id_of(connection, job_no)
    async with table_held(fleet.database_url, "customer"):
        (worker,) = fleet.start(1)
        await publish_envelopes(redis_url, [job_no])
        worker.wait_for("coordination_started", job_id=job_id)
        await cancel(job_no)
        worker.wait_for("coordination_stopped", job_id=job_id)
    assert worker.events("duplicate_prevented", layer="coordination") == []
    assert await counter_total(connection, DUPLICATES_PREVENTED.name, layer="coordination") == 0


async def test_an_import_of_nothing_is_logged_to_its_end(fleet, erp, connection, redis_url) -> None:
    (erp.data / "customer.csv").write_text("id,name\n")
    job_no = await store_import(connection, import_body(csv_type("customer")))
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    worker.wait_for("job_finished", job_id=await id_of(connection, job_no), status="completed")
    await all_ended(connection)


async def test_a_lease_that_is_gone_names_job_and_record_type(fleet, erp, connection, redis_url, cancel) -> None:
    await erp.table("customer", 600)
    await connection.execute(
        f"""
        CREATE FUNCTION {SCHEMA}.gated(name text) RETURNS text LANGUAGE plpgsql STABLE AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared({GATE});
            RETURN name;
        END
        $$
        """
    )
    await connection.execute(
        f"CREATE VIEW {SCHEMA}.gate AS SELECT id, {SCHEMA}.gated(name) AS name FROM {SCHEMA}.customer"
    )
    job_no = await store_import(connection, table_body("gate"))
    await connection.execute(f"SELECT pg_advisory_lock({GATE})")
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    worker.wait_for("job_coordinated")

    async def reading() -> bool:
        return await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    await eventually_async(reading)
    await cancel(job_no)
    line = worker.wait_for("lease_gone")
    assert (line["job_id"], line["record_type"]) == (await id_of(connection, job_no), "gate")
    await connection.execute(f"SELECT pg_advisory_unlock({GATE})")
