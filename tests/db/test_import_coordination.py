"""Coordination of imports: one lease at a time, one set of waves, and every trigger with its outcome."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from db import import_coordination
from db.engine import Connection, in_transaction
from db.import_plans import KeyChanged
from domain.key_forms import KeyForm
from tests.support.import_steps import SERVED, ImportSteps, import_steps, plan_of, read


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def triggers(connection: Connection, job_no: int) -> list[tuple[str, str | None, int | None]]:
    rows = await connection.fetch(
        "SELECT source, outcome, fence FROM triggers WHERE job_no = $1 ORDER BY trigger_no", job_no
    )
    return [tuple(row) for row in rows]


async def counts(connection: Connection, job_no: int) -> tuple[int, int, int]:
    row = await connection.fetchrow(
        """
        SELECT
            (SELECT count(*) FROM waves WHERE job_no = $1) AS waves,
            (SELECT count(*) FROM batches WHERE job_no = $1) AS batches,
            (SELECT count(*) FROM import_batches WHERE job_no = $1) AS ranges
        """,
        job_no,
    )
    return tuple(row)


async def test_one_of_many_takes_the_right_to_coordinate(ledger, connection) -> None:
    for _ in range(20):
        job_no = await ledger.submit()
        begun = await asyncio.gather(*(ledger.begin(job_no) for _ in range(8)))
        assert sum(outcome is not None for outcome in begun) == 1
        assert await triggers(connection, job_no) == [("initial", None, 1)]


async def test_a_plan_is_written_once(ledger, connection) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)
    assert await ledger.write(coordination, plan_of([5, 3], [2])) == [("initial", "won")]
    assert await counts(connection, job_no) == (2, 10, 10)
    assert await ledger.write(coordination, plan_of([5, 3], [2])) is None
    assert await counts(connection, job_no) == (2, 10, 10)
    job = await connection.fetchrow("SELECT status, planned FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("running", 10)


async def test_a_coordinator_whose_lease_was_taken_writes_nothing(ledger, connection) -> None:
    job_no = await ledger.submit()
    first = await ledger.begin(job_no, lease_seconds=0)
    second = await ledger.begin(job_no)
    assert second.fence == 2
    assert second.fenced_sources == ["initial"]
    assert await ledger.write(first, plan_of([5])) is None
    assert await counts(connection, job_no) == (0, 0, 0)
    assert await ledger.write(second, plan_of([3])) == [("fallback", "won")]
    assert await ledger.write(first, plan_of([5])) is None
    assert await counts(connection, job_no) == (1, 3, 3)
    assert await triggers(connection, job_no) == [("initial", "fenced", 1), ("fallback", "won", 2)]


async def test_a_lease_that_ran_out_and_that_no_other_worker_took_may_still_write(ledger, connection) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no, lease_seconds=0)
    assert await ledger.write(coordination, plan_of([3])) == [("initial", "won")]


async def test_stale_and_current_coordinators_that_write_at_once_leave_one_set_of_waves(ledger, connection) -> None:
    for _ in range(20):
        job_no = await ledger.submit()
        held = [await ledger.begin(job_no, lease_seconds=0) for _ in range(6)]
        written = await asyncio.gather(*(ledger.write(claim, plan_of([4], [4])) for claim in held))
        assert [outcome is not None for outcome in written] == [False] * 5 + [True]
        assert await counts(connection, job_no) == (2, 8, 8)


async def test_a_holder_that_is_fenced_off_can_not_renew(ledger) -> None:
    job_no = await ledger.submit()
    first = await ledger.begin(job_no, lease_seconds=0)
    assert await in_transaction(ledger.engine, lambda c: import_coordination.renew(c, first, 0))
    await ledger.begin(job_no)
    assert not await in_transaction(ledger.engine, lambda c: import_coordination.renew(c, first, 60))


async def test_a_manual_trigger_that_waits_for_a_coordination_joins_it(ledger, connection) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)
    await connection.execute("INSERT INTO triggers (job_no, source) VALUES ($1, 'manual')", job_no)
    assert sorted(await ledger.write(coordination, plan_of([1]))) == [("initial", "won"), ("manual", "joined")]


async def test_a_failed_coordination_ends_the_job_with_its_reason(ledger, connection) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)
    outcomes = await ledger.fail(coordination, "count_timeout", "It took too long.")
    assert outcomes == [("initial", "failed")]
    job = await connection.fetchrow("SELECT status, error_code, planned FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("failed", "count_timeout", 0)


async def test_a_coordination_that_is_rescheduled_is_found_again_later(ledger, connection) -> None:
    job_no = await ledger.submit()
    coordination = await ledger.begin(job_no)

    async def reschedule(connection: Connection) -> object:
        return await import_coordination.reschedule(
            connection, coordination, tries=1, due_in_seconds=30, source="a test", event={}, outcome="failed"
        )

    assert await in_transaction(ledger.engine, reschedule) == [("initial", "failed")]
    assert await import_coordination.find_imports(connection, SERVED, limit=5) == []
    due = await import_coordination.next_due_seconds(connection)
    assert due is not None
    assert 0 < due <= 30
    await connection.execute("UPDATE imports SET not_before = now() - interval '1 second'")
    assert [found for found, _ in await import_coordination.find_imports(connection, SERVED, limit=5)] == [job_no]
    again = await ledger.begin(job_no)
    assert (again.source, again.fence, again.attempts) == ("fallback", 2, 1)


async def test_an_import_of_nothing_is_complete(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of())
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "completed"


async def test_an_import_of_which_nothing_can_be_read_is_partial(ledger, connection) -> None:
    job_no = await ledger.coordinate(plan_of([0], detail="It is too long."))
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "partial"


async def test_another_key_for_rows_that_are_kept_plans_nothing(ledger, connection) -> None:
    await ledger.coordinate(plan_of([1], key=["a", "b"]))
    for key in (["b"], ["b", "a"], []):
        job_no = await ledger.submit()
        coordination = await ledger.begin(job_no)
        with pytest.raises(KeyChanged) as raised:
            await ledger.write(coordination, plan_of([1], [1], key=key))
        assert (raised.value.dataset, raised.value.record_type) == ("ledger", "type-0")
        assert (raised.value.kept, raised.value.wanted) == (["a", "b"], key)
        assert await counts(connection, job_no) == (0, 0, 0)
    assert await connection.fetchval("SELECT count(*) FROM record_sets") == 1  # of type-1 nobody decided anything
    await ledger.coordinate(plan_of([1], [1], key=["a", "b"]))
    assert await connection.fetchval("SELECT count(*) FROM record_sets WHERE key = '{a,b}'") == 2


async def test_of_imports_that_race_for_a_record_type_one_decides_its_key(ledger, connection) -> None:
    for _ in range(20):
        keys = [["a"], ["b"]] * 3
        held = [await ledger.begin(await ledger.submit()) for _ in keys]
        written = await asyncio.gather(
            *(ledger.write(claim, plan_of([1], key=key)) for claim, key in zip(held, keys, strict=True)),
            return_exceptions=True,
        )
        kept = await connection.fetchval("SELECT key FROM record_sets")
        assert [isinstance(outcome, KeyChanged) for outcome in written] == [key != kept for key in keys]
        await connection.execute("TRUNCATE record_sets")


async def test_9625_batches_are_planned_quickly(ledger, connection) -> None:
    plan = plan_of(*[[300]] * 32, [25])
    seconds = []
    for _ in range(3):
        coordination = await ledger.begin(await ledger.submit())
        began = time.monotonic()
        assert await ledger.write(coordination, plan)
        seconds.append(time.monotonic() - began)
    assert await connection.fetchval("SELECT count(*) FROM batches") == 3 * 9625
    assert min(seconds) < 1, seconds  # 50 ms on an idle machine; a row at a time took 1.7 s


async def test_keys_stay_as_they_are_spelled_while_another_import_of_theirs_is_open(ledger, connection) -> None:
    """What is open writes keys by their spelling: renamed meanwhile, its rows would come a second time."""
    plan = plan_of([1])
    decimal = replace(plan, record_types=[replace(plan.record_types[0], key_forms=[KeyForm.DIGITS])])
    by_value = "SELECT keys_by_value FROM record_sets"
    await ledger.coordinate(decimal)
    assert await connection.fetchval(by_value)  # of a set that is new
    await connection.execute(
        "UPDATE record_sets SET keys_by_value = false; "
        "INSERT INTO imported_records SELECT record_set_no, '1.50', '{}', 1, 1 FROM record_sets"
    )
    await ledger.coordinate(decimal)
    assert not await connection.fetchval(by_value)
    claimed = await ledger.claim()
    assert [given.keys_by_value for _, given in claimed] == [False, False]
    for claim in claimed:
        await ledger.record(read(*claim))
    await ledger.coordinate(plan)  # whose survey doesn't say how keys are spelled
    await ledger.run_all()
    assert await connection.fetchval("SELECT count(*) FROM imported_records WHERE record_key = '1.50'") == 1
    await ledger.coordinate(decimal)
    assert await connection.fetchval(by_value)
    assert {given.keys_by_value for _, given in await ledger.claim()} == {True}
    assert await connection.fetchval("SELECT count(*) FROM imported_records WHERE record_key = '1.5'") == 1


async def test_tens_of_thousands_of_keys_are_renamed_in_any_order(ledger, connection) -> None:
    plan = plan_of([1])
    decimal = replace(plan, record_types=[replace(plan.record_types[0], key_forms=[KeyForm.DIGITS])])
    await ledger.coordinate(decimal)
    await ledger.run_all()
    await connection.execute(
        """
        TRUNCATE imported_records;
        UPDATE record_sets SET keys_by_value = false;
        INSERT INTO imported_records (record_set_no, record_key, payload, job_no, batch_no, updated_at)
        SELECT s.record_set_no, n || zeros, to_json(n), 1, 1, now() - length(zeros) * interval '1 s'
        FROM record_sets AS s, generate_series(1, 12000) AS n, unnest(ARRAY['.0', '.00', '']) AS zeros
        """
    )
    await ledger.coordinate(decimal)
    kept = await connection.fetchrow(
        """
        SELECT count(*)::int, count(DISTINCT record_key)::int, bool_and(record_key = payload::text)
        FROM imported_records
        """
    )
    assert tuple(kept) == (12_000, 12_000, True)
