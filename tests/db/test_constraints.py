"""The database refuses impossible states from any writer: duplicates, wrong transitions, rewriting, strays, loss."""

from collections.abc import AsyncIterator, Mapping
from itertools import product
from typing import Any

import asyncpg
import pytest

from domain import status
from domain.status import BatchStatus, ExecutionStatus, JobStatus, WaveStatus

Rows = Any

ENDED = "finished_at = coalesce(finished_at, now())"
OPEN = "finished_at = NULL"
NO_LEASE = "lease_until = NULL, holder = NULL"
IN_STATE: Mapping[str, Mapping[str, str]] = {
    "jobs": {
        "queued": f"completed = 0, failed = 0, cancelled = 0, {OPEN}",
        "coordinating": f"completed = 0, failed = 0, cancelled = 0, {OPEN}",
        "running": f"completed = 0, failed = 0, cancelled = 0, {OPEN}",
        "completed": f"completed = 1, failed = 0, cancelled = 0, {ENDED}",
        "partial": f"completed = 0, failed = 1, cancelled = 0, {ENDED}",
        "failed": f"completed = 0, failed = 1, cancelled = 0, {ENDED}",
        "cancelled": f"completed = 0, failed = 0, cancelled = 1, {ENDED}",
    },
    "waves": {
        "pending": f"open_batches = 1, {OPEN}",
        "running": f"open_batches = 1, {OPEN}",
        "completed": f"open_batches = 0, {ENDED}",
        "partial": f"open_batches = 0, {ENDED}",
        "failed": f"open_batches = 0, {ENDED}",
        "cancelled": f"open_batches = 0, {ENDED}",
    },
    "batches": {
        "pending": f"open_cells = 1, {NO_LEASE}, {OPEN}",
        "running": f"open_cells = 1, lease_until = now(), holder = 1, {OPEN}",
        "completed": f"open_cells = 0, {NO_LEASE}, {ENDED}",
        "failed": f"open_cells = 0, {NO_LEASE}, {ENDED}",
        "cancelled": f"open_cells = 0, {NO_LEASE}, {ENDED}",
    },
    "executions": {
        "planned": OPEN,
        "running": OPEN,
        "completed": f"output = 'x', {ENDED}",
        "failed": f"error_code = 'x', {ENDED}",
        "cancelled": ENDED,
        "unknown": ENDED,
    },
}
TABLES = {
    "jobs": ("job", JobStatus, status.JOB_TRANSITIONS),
    "waves": ("wave", WaveStatus, status.WAVE_TRANSITIONS),
    "batches": ("batch", BatchStatus, status.BATCH_TRANSITIONS),
    "executions": ("execution", ExecutionStatus, status.EXECUTION_TRANSITIONS),
}
PLANNED_JOB = """
INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
VALUES (1, 1, 'j', 'inference', 'n', 'h', 0, 1, 0.5);
INSERT INTO specs (job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs)
VALUES (1, 1, 'n', 'h', '{a,b}', '{us-east,eu-west}', '{q1,q2}', '{0}');
INSERT INTO waves (job_no, wave_no, level, status, total_batches, open_batches) VALUES (1, 1, 0, 'running', 2, 1);
INSERT INTO batches (
    job_no, batch_no, wave_no, provider, region, region_no, first_model_no, first_question_no, last_model_no,
    last_question_no, cells, open_cells, status
) VALUES
    (1, 1, 1, 'echo', 'us-east', 0, 0, 0, 0, 0, 1, 1, 'pending'),
    (1, 2, 1, 'echo', 'eu-west', 1, 0, 0, 0, 0, 1, 1, 'pending');
"""
SAME_ID = """
INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
SELECT 2, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate FROM jobs
"""
CELL = "INSERT INTO executions (job_no, batch_no, region_no, model_no, question_no, status) VALUES"


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    """A connection to a database with one planned job whose cell (region 0, model 0, question 0) is open."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(PLANNED_JOB)
    await connection.execute(f"{CELL} (1, 1, 0, 0, 0, 'planned')")
    yield connection
    await connection.close()


async def refusal(rows: Rows, statement: str) -> str | None:
    """Try the statement and undo it; return the constraint that refused it."""
    transaction = rows.transaction()
    await transaction.start()
    try:
        await rows.execute(statement)
    except asyncpg.IntegrityConstraintViolationError as error:
        return str(error.constraint_name)
    finally:
        await transaction.rollback()
    return None


async def put(rows: Rows, table: str, state: str) -> None:
    """Bring the row into a state without asking the triggers."""
    await rows.execute("SET session_replication_role = replica")
    await rows.execute(f"UPDATE {table} SET status = '{state}', {IN_STATE[table][state]}")
    await rows.execute("SET session_replication_role = origin")


@pytest.mark.parametrize("table", TABLES)
async def test_exactly_the_legal_transitions_pass(rows: Rows, table: str) -> None:
    name, states, legal = TABLES[table]
    passed = set()
    for before, after in product(states, states):
        await put(rows, table, before)
        refused_by = await refusal(rows, f"UPDATE {table} SET status = '{after}', {IN_STATE[table][after]}")
        assert refused_by in {None, f"{name}_transition_is_legal"}
        if refused_by is None and before != after:
            passed.add((before.value, after.value))
    assert passed == legal


@pytest.mark.parametrize("state", sorted(status.TERMINAL_EXECUTION_STATUSES))
@pytest.mark.parametrize("change", ["output = 'other'", "attempts = 9", "provider_used = 'x'", "batch_no = batch_no"])
async def test_a_terminal_cell_is_never_rewritten(rows: Rows, state: str, change: str) -> None:
    await put(rows, "executions", state)
    assert await refusal(rows, f"UPDATE executions SET {change}") == "execution_transition_is_legal"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (
            "UPDATE jobs SET id = 'other'",
            "job_transition_is_legal",
        ),
        ("UPDATE jobs SET planned = 2", "job_transition_is_legal"),
        ("UPDATE jobs SET tenant_no = 2", "job_transition_is_legal"),
        ("UPDATE waves SET wave_no = 2", "wave_transition_is_legal"),
        ("UPDATE batches SET batch_no = 9 WHERE batch_no = 1", "batch_transition_is_legal"),
        ("UPDATE batches SET fence = fence - 1", "batch_transition_is_legal"),
        ("UPDATE executions SET question_no = 1", "execution_transition_is_legal"),
        ("UPDATE executions SET model_no = 1", "execution_transition_is_legal"),
        ("UPDATE executions SET region_no = 1", "execution_transition_is_legal"),
        ("UPDATE executions SET batch_no = 2", "execution_transition_is_legal"),
    ],
)
async def test_a_change_of_an_immutable_column_is_refused(rows: Rows, statement: str, constraint: str) -> None:
    assert await refusal(rows, statement) == constraint


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (f"{CELL} (1, 1, 0, 0, 0, 'planned')", "unique_execution_per_job_region_model_question"),
        ("INSERT INTO waves SELECT * FROM waves", "unique_job_wave"),
        ("INSERT INTO batches SELECT * FROM batches", "unique_job_batch"),
        (
            SAME_ID,
            "unique_job_id_per_tenant",
        ),
        ("INSERT INTO tenants (name) VALUES ('default')", "unique_tenant_name"),
    ],
)
async def test_nothing_is_there_twice(rows: Rows, statement: str, constraint: str) -> None:
    assert await refusal(rows, statement) == constraint


@pytest.mark.parametrize(
    "cell",
    {
        "another pair of the job": "(1, 1, 0, 1, 0, 'planned')",
        "a region without the model": "(1, 2, 1, 0, 0, 'planned')",
        "a question past the spec": "(1, 1, 0, 0, 2, 'planned')",
        "no such batch": "(1, 3, 0, 0, 1, 'planned')",
        "another region's batch": "(1, 2, 0, 0, 1, 'planned')",
        "no such job": "(2, 1, 0, 0, 1, 'planned')",
        "born running": "(1, 1, 0, 0, 1, 'running')",
        "one stray among planned ones": "(1, 1, 0, 0, 1, 'planned'), (1, 1, 0, 1, 1, 'planned')",
    }.items(),
    ids=lambda cell: cell[0],
)
async def test_only_planned_cells_are_inserted(rows: Rows, cell: tuple[str, str]) -> None:
    assert await refusal(rows, f"{CELL} {cell[1]}") == "execution_is_planned"


async def test_a_cell_is_not_born_terminal(rows: Rows) -> None:
    born = "INSERT INTO executions (job_no, batch_no, region_no, model_no, question_no, status, output, finished_at)"
    assert await refusal(rows, f"{born} VALUES (1, 1, 0, 0, 1, 'completed', 'x', now())") == "execution_is_planned"


async def test_the_planned_cell_that_is_missing_may_be_inserted(rows: Rows) -> None:
    assert await refusal(rows, f"{CELL} (1, 1, 0, 0, 1, 'planned')") is None


@pytest.mark.parametrize("number", ["-1", "200"])
@pytest.mark.parametrize("column", ["region_no", "model_no", "question_no"])
async def test_numbers_stay_in_their_range(rows: Rows, column: str, number: str) -> None:
    numbers = {"region_no": "0", "model_no": "0", "question_no": "0", column: number}
    inserted = f"{CELL} (1, 1, {numbers['region_no']}, {numbers['model_no']}, {numbers['question_no']}, 'planned')"
    assert await refusal(rows, inserted) == f"execution_{column}_in_range"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("DELETE FROM executions", "execution_outlives_no_job"),
        ("TRUNCATE executions", "execution_outlives_no_job"),
        (
            "TRUNCATE jobs, specs, waves, batches, ready, executions, job_limits, dead_letters, imports, record_types",
            "execution_outlives_no_job",
        ),
    ],
)
async def test_cells_are_not_lost_before_their_job(rows: Rows, statement: str, constraint: str) -> None:
    assert await refusal(rows, statement) == constraint


async def test_a_purged_jobs_cells_may_go(rows: Rows) -> None:
    await rows.execute("DELETE FROM jobs")
    await rows.execute("DELETE FROM executions")
    assert await rows.fetchval("SELECT count(*) FROM executions") == 0


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE jobs SET status = 'running', completed = 2", "job_progress_within_plan"),
        ("UPDATE jobs SET status = 'running', failed = -1", "job_progress_within_plan"),
        ("UPDATE jobs SET status = 'cancelled', finished_at = now()", "job_ends_with_its_last_cell"),
        ("UPDATE jobs SET status = 'running', finished_at = now()", "job_ends_with_its_last_cell"),
        ("UPDATE jobs SET started_at = queued_at - interval '1 second'", "job_times_in_order"),
        ("UPDATE waves SET status = 'completed', finished_at = now()", "wave_ends_with_its_last_batch"),
        ("UPDATE waves SET open_batches = -1", "wave_open_batches_within_total"),
        ("UPDATE waves SET open_batches = 3", "wave_open_batches_within_total"),
        ("UPDATE batches SET status = 'running'", "batch_runs_under_a_lease"),
        ("UPDATE batches SET open_cells = -1", "batch_open_cells_within_total"),
        ("UPDATE batches SET finished_at = now()", "batch_ends_with_its_last_cell"),
        ("UPDATE executions SET status = 'completed', output = 'x'", "execution_is_terminal_once_finished"),
        ("UPDATE executions SET status = 'completed', finished_at = now()", "completed_execution_has_output"),
        ("UPDATE executions SET status = 'failed', finished_at = now()", "failed_execution_says_why"),
        (
            "UPDATE executions SET status = 'cancelled', finished_at = now(), started_at = now() + interval '1 second'",
            "execution_times_in_order",
        ),
        ("INSERT INTO triggers (job_no, source, outcome) VALUES (1, 'manual', 'won')", "trigger_ends_with_an_outcome"),
        ("INSERT INTO triggers (job_no, source) VALUES (1, 'cron')", "trigger_source_is_known"),
    ],
)
async def test_rows_agree_with_themselves(rows: Rows, statement: str, constraint: str) -> None:
    assert await refusal(rows, statement) == constraint


async def test_two_writers_of_a_cell_leave_one_result(rows: Rows, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    finish = "UPDATE executions SET status = 'completed', finished_at = now(), output = $1"
    async with rows.transaction():
        await rows.execute(finish, "first")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute("SET lock_timeout = '50ms'; UPDATE executions SET attempts = 1")
    with pytest.raises(asyncpg.CheckViolationError):
        await other.execute(finish, "second")
    assert await rows.fetchval("SELECT output FROM executions") == "first"
    await other.close()
