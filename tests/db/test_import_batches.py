"""Batches of imports: rows and the batch's end in one transaction, waves in order, final statuses recorded once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from db.engine import Connection
from db.import_reports import ReadRow, RejectedRow
from db.record_writing import DuplicateKeys
from tests.support.connections import database_connections
from tests.support.import_steps import WINDOW, ImportSteps, failed, import_steps, plan_of, read
from tests.support.waiting import eventually_async
from worker.imports import batch_ends


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def waves(connection: Connection, job_no: int) -> list[str]:
    rows = await connection.fetch("SELECT status FROM waves WHERE job_no = $1 ORDER BY wave_no", job_no)
    return [row["status"] for row in rows]


async def job(connection: Connection, job_no: int) -> tuple[str, int, int, str | None]:
    row = await connection.fetchrow("SELECT status, completed, failed, error_code FROM jobs WHERE job_no = $1", job_no)
    return tuple(row)


async def test_an_import_runs_wave_by_wave(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([2, 1], [3]))
    first = await ledger.claim()
    assert {claim.wave_no for claim, _ in first} == {1}
    assert await ledger.claim() == []
    recorded = await ledger.record(*(read(*claim) for claim in first))
    assert [(job.ended_wave_no, job.opened_wave_no) for job in recorded.jobs] == [(1, 2)]
    assert await waves(connection, job_no) == ["completed", "running"]
    second = await ledger.claim()
    assert {claim.wave_no for claim, _ in second} == {2}
    await ledger.record(*(read(*claim) for claim in second))
    assert await waves(connection, job_no) == ["completed", "completed"]
    assert await job(connection, job_no) == ("completed", 6, 0, None)
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 18


async def test_a_wave_longer_than_its_window_runs_to_its_end(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([3 * WINDOW], [2 * WINDOW + 1]))
    assert len(await ledger.claim(calls=100)) == WINDOW
    await connection.execute("UPDATE batches SET lease_until = now() - interval '1 s' WHERE status = 'running'")
    await connection.execute(
        """
        INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
        SELECT job_no, batch_no, provider, region, identity_no, 1, 1, 0 FROM batches WHERE status = 'running'
        """
    )
    await ledger.run_all()
    assert await job(connection, job_no) == ("completed", 5 * WINDOW + 1, 0, None)


async def test_two_last_batches_that_end_at_the_same_moment_open_the_next_wave_once(
    ledger, connection, database_url
) -> None:
    async with database_connections(database_url) as (locker,):
        for _ in range(200):
            job_no = await ledger.coordinate(plan_of([2], [1]))
            claimed = await ledger.claim()
            async with locker.transaction():
                await locker.execute("SELECT FROM waves WHERE job_no = $1 AND wave_no = 1 FOR UPDATE", job_no)
                ends = asyncio.gather(*(ledger.record(read(*claim)) for claim in claimed))
                await both_wait(connection)  # each has its snapshot, and neither sees the other's end in it
            assert sorted(job.jobs[0].opened_wave_no or 0 for job in await ends) == [0, 2]
            await ledger.run_all()
    rows = await connection.fetch("SELECT status, count(*) FROM jobs GROUP BY status")
    assert [tuple(row) for row in rows] == [("completed", 200)]
    opened = "SELECT count(*) FROM events WHERE (data ->> 'wave_opened')::int = 2"
    assert await connection.fetchval(opened) == 200


async def both_wait(connection: Connection) -> None:
    """Wait until two transactions wait for a row."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await connection.fetchval(waiting) < 2:
            pass  # the queries let the other two tasks run


async def test_a_batch_whose_lease_was_taken_changes_nothing(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1]))
    ((batch, given),) = await ledger.claim(lease_seconds=0)
    await connection.execute(
        """
        INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
        VALUES ($1, 1, 'import', '', 1, 1, 1, 0)
        """,
        job_no,
    )
    ((other, _),) = await ledger.claim()
    assert other.fence == 2
    recorded = await ledger.record(read(batch, given))
    assert (len(recorded.written), len(recorded.stale), recorded.jobs) == (0, 1, ())
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 0
    assert await waves(connection, job_no) == ["running"]
    await ledger.record(read(other, given))
    assert await job(connection, job_no) == ("completed", 1, 0, None)


async def test_stale_and_current_holders_that_record_at_once_write_the_current_ones_rows(ledger, connection) -> None:
    for _ in range(20):
        job_no = await ledger.coordinate(plan_of([1]))
        held = []
        for lease_seconds in (0, 0, 60):
            held += await ledger.claim(lease_seconds=lease_seconds)
            await connection.execute(
                """
                INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
                VALUES ($1, 1, 'import', '', 1, 1, 1, 0)
                """,
                job_no,
            )
        recorded = await asyncio.gather(
            *(ledger.record(read(*claim, payload=f'{{"fence":{claim[0].fence}}}')) for claim in held)
        )
        assert [len(result.written) for result in recorded] == [0, 0, 1]
        payloads = await connection.fetch("SELECT payload FROM imported_records WHERE job_no = $1", job_no)
        assert [row["payload"] for row in payloads] == [{"fence": 3}] * 3
        await connection.execute("DELETE FROM imported_records")
        await connection.execute("DELETE FROM ready")


@pytest.mark.parametrize("is_known", [False, True])
async def test_rows_that_are_as_they_were_are_not_rewritten(ledger, connection, is_known) -> None:
    await ledger.coordinate(plan_of([2]))
    await ledger.run_all()
    before = await connection.fetch("SELECT xmin, ctid, record_key FROM imported_records ORDER BY record_key")
    again = await ledger.coordinate(plan_of([2]))
    first, second = await ledger.claim()
    await ledger.record(read(*first), read(*second, payload='{"changed":1}'), is_known=is_known)
    after = await connection.fetch("SELECT xmin, ctid, record_key FROM imported_records ORDER BY record_key")
    assert after[:3] == before[:3]
    counts = await connection.fetch(
        """
        SELECT rows_read, rows_inserted, rows_updated, rows_unchanged, rows_rejected
        FROM import_batches WHERE job_no = $1 ORDER BY batch_no
        """,
        again,
    )
    assert [tuple(row) for row in counts] == [(3, 0, 0, 3, 0), (3, 0, 3, 0, 0)]


async def test_a_batch_that_reads_fewer_rows_makes_wave_and_job_partial_and_the_next_wave_opens(
    ledger, connection
) -> None:
    job_no = await ledger.coordinate(plan_of([2], [1]))
    first, second = await ledger.claim()
    await ledger.record(read(*first, rows=1))
    await ledger.record(read(*second))
    assert await waves(connection, job_no) == ["partial", "running"]
    await ledger.run_all()
    assert await waves(connection, job_no) == ["partial", "completed"]
    assert await job(connection, job_no) == ("partial", 3, 0, None)


async def test_a_record_type_that_can_not_be_read_to_its_end_makes_the_job_partial(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1], detail="9 of 12 rows can be read."))
    await ledger.run_all()
    assert await job(connection, job_no) == ("partial", 1, 0, None)


async def test_a_failed_batch_fails_its_wave_and_the_job_once_the_wave_ended_and_later_waves_stay(
    ledger, connection
) -> None:
    job_no = await ledger.coordinate(plan_of([2], [1]))
    first, second = await ledger.claim()
    await ledger.record(failed(*first))
    assert await job(connection, job_no) == ("running", 0, 1, None)
    await ledger.record(read(*second))
    assert await waves(connection, job_no) == ["failed", "pending"]
    assert await job(connection, job_no) == ("failed", 1, 1, "wave_failed")
    assert await ledger.claim() == []


async def detail(connection: Connection, job_no: int) -> str:
    return await connection.fetchval("SELECT error_detail FROM jobs WHERE job_no = $1", job_no)


async def test_a_failed_wave_counts_its_failures_by_record_type_and_names_the_remedy(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1, 2, 1], [1], [1]))
    claimed = await ledger.claim()
    codes = ["unreadable", "too_many_rejects", "too_many_rejects"]
    await ledger.record(
        *(failed(*claim, code=code) for claim, code in zip(claimed[:3], codes, strict=True)), read(*claimed[3])
    )
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
    assert await detail(connection, job_no) == (
        "3 of 4 batches of wave 1 failed, of record types type-1, type-0; most often with too_many_rejects (2)."
        f" The 2 waves after it were not begun. Correct the source; POST /jobs/{job_id}/retry then reads the failed"
        " batches again and goes on from there (a file that was changed needs a new import)."
    )


async def test_of_many_record_types_in_a_failed_wave_a_few_are_named(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1], [1] * 8))
    await ledger.record(read(*(await ledger.claim())[0]))
    while claimed := await ledger.claim():
        await ledger.record(*(failed(*claim) for claim in claimed))
    found = await detail(connection, job_no)
    assert found.startswith(
        "8 of 8 batches of wave 2 failed, of record types type-1, type-2, type-3, type-4, type-5 and 3 more;"
        " most often with source_unreadable (8). Correct the source;"
    )


async def test_batches_that_fail_at_the_same_moment_are_all_reported(ledger, connection) -> None:
    for _ in range(50):
        job_no = await ledger.coordinate(plan_of([2], [1]))
        await asyncio.gather(*(ledger.record(failed(*claim)) for claim in await ledger.claim()))
        assert "with source_unreadable (2). The wave after it was not begun." in await detail(connection, job_no)


async def test_a_try_that_failed_is_due_again_later(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1]))
    ((batch, given),) = await ledger.claim()
    report = read(batch, given, rows=0, status="pending")
    report.due_in_seconds = 0.05
    await ledger.record(report)
    assert await ledger.claim() == []
    ((again, given),) = await eventually_async(ledger.claim)
    assert (again.fence, given.attempts) == (2, 1)
    await ledger.record(read(again, given))
    assert await job(connection, job_no) == ("completed", 1, 0, None)


async def test_rejects_are_kept_and_replaced_by_those_of_the_next_try(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1], rows=4))
    ((batch, given),) = await ledger.claim()
    report = read(batch, given, rows=2)
    report.rejected = [
        RejectedRow(2, None, "key_missing", "No key."),
        RejectedRow(3, "k", "duplicate_key", "Twice."),
    ]
    report.rows_read = 4
    await ledger.record(report)
    rows = await connection.fetch("SELECT position, record_key, code FROM rejects WHERE job_no = $1", job_no)
    assert [tuple(row) for row in rows] == [(2, None, "key_missing"), (3, "k", "duplicate_key")]
    assert await job(connection, job_no) == ("completed", 1, 0, None)


async def test_batches_of_several_imports_may_end_in_one_transaction(ledger, connection) -> None:
    jobs = [await ledger.coordinate(plan_of([2], [1])) for _ in range(5)]
    claimed = [claim for _ in jobs for claim in await ledger.claim()]
    recorded = await ledger.record(*(read(claim, given, rows=0) for claim, given in claimed))
    assert sorted(job.job_no for job in recorded.jobs) == jobs
    assert {job.opened_wave_no for job in recorded.jobs} == {2}


async def test_the_database_refuses_a_second_running_wave(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([1], [1]))
    with pytest.raises(Exception, match="unique_running_wave"):
        await connection.execute("UPDATE waves SET status = 'running' WHERE job_no = $1 AND wave_no = 2", job_no)


@pytest.mark.parametrize("payload", ["{}", '{"differs":1}'])
async def test_a_key_that_another_batch_of_the_import_wrote_is_reported_and_nothing_is_written(
    ledger, connection, payload
) -> None:
    job_no = await ledger.coordinate(plan_of([2]))
    first, second = await ledger.claim()
    await ledger.record(read(*first))
    report = read(*second)
    report.records = [*report.records[:1], ReadRow("000000001", payload, 4)]
    with pytest.raises(DuplicateKeys) as raised:
        await ledger.record(report)
    assert raised.value.keys_by_batch == {(job_no, 2): {"000000001"}}
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 3
    assert await job(connection, job_no) == ("running", 1, 0, None)


async def test_a_batch_that_fails_for_keys_that_came_twice_counts_none_of_the_rows_it_had_written(
    ledger, connection
) -> None:
    job_no = await ledger.coordinate(plan_of([2]))
    first, second = await ledger.claim()
    await ledger.record(read(*first))
    report = read(*second)
    report.records = [*report.records[:2], ReadRow("000000001", "{}", 5)]
    with pytest.raises(DuplicateKeys) as raised:
        await ledger.record(report)
    batch_ends.reject_duplicates(report, raised.value.keys_by_batch[job_no, 2])
    await ledger.record(report)
    counts = await connection.fetchrow(
        "SELECT rows_read, rows_inserted, rows_rejected, error_code FROM import_batches WHERE batch_no = 2"
    )
    assert tuple(counts) == (3, 0, 1, "too_many_rejects")


@pytest.mark.parametrize("is_known", [False, True])
async def test_two_batches_of_one_transaction_with_one_key_are_reported_too(ledger, connection, is_known) -> None:
    await ledger.coordinate(plan_of([2]))
    first, second = await ledger.claim()
    same = read(*second)
    same.records = [ReadRow("000000001", "{}", 4)]
    with pytest.raises(DuplicateKeys):
        await ledger.record(read(*first), same, is_known=is_known)
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 0


@pytest.mark.parametrize("is_known", [False, True])
async def test_new_changed_and_unchanged_rows_in_one_transaction_are_counted_apart(
    ledger, connection, is_known
) -> None:
    await ledger.coordinate(plan_of([1]))
    await ledger.run_all()
    again = await ledger.coordinate(plan_of([2]))
    first, second = await ledger.claim()
    mixed = read(*first)
    mixed.records = [*mixed.records[:2], ReadRow("000000002", '{"changed":1}', 2)]
    await ledger.record(mixed, read(*second), is_known=is_known)
    counts = await connection.fetch(
        "SELECT rows_inserted, rows_updated, rows_unchanged FROM import_batches WHERE job_no = $1 ORDER BY batch_no",
        again,
    )
    assert [tuple(row) for row in counts] == [(0, 1, 2), (3, 0, 0)]
