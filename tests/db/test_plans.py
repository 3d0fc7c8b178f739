"""The hot statements find their rows by key, independent of the planner's statistics."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from statistics import median
from typing import Any

import pytest

from db import results
from db.batches import ClaimedBatch
from db.engine import PINNED_PLANS, Connection, statement
from tests.support.connections import database_connections
from tests.support.jobs import job_body
from tests.support.planned_batches import answered, plan_and_claim

AS_WORKERS = {**PINNED_PLANS, "plan_cache_mode": "force_generic_plan", "jit": "off"}
BIG = {"executions", "batches", "jobs", "waves", "specs", "events", "triggers", "attempts"}
BY_KEY = {
    "jobs": {"jobs_key"},
    "specs": {"specs_key"},
    "waves": {"unique_job_wave"},
    "batches": {"unique_job_batch"},
    "executions": {"unique_execution_per_job_region_model_question"},
    "ready": {"unique_ready_batch", "ready_by_identity", "ready_by_tenant"},
    "configurations": {"configurations_key"},
    "identities": {"identities_key"},
}
OTHERWISE = {
    "lock_queued_jobs": {"jobs_queued_by_turn", "jobs_waiting_by_tenant", "triggers_by_job"},
    "look_up_submissions": {
        "unique_idempotency_key_per_tenant",
        "unique_job_id_per_tenant",
        "jobs_active_by_hash",
        "jobs_completed_by_hash",
        "jobs_given_up_by_hash",
    },
    "find_due_batches": {"job_limits_key", "batches_of_a_job_with_slots", "pauses_key"},
    "find_owed_work": {"jobs_queued_by_turn", "batches_with_slots", "batches_of_a_job_with_slots"},
    "lock_pools": {"pauses_key", "batches_with_slots", "batches_of_a_job_with_slots"},
    "count_permits": {"batches_with_slots", "batches_of_a_job_with_slots"},
    "find_first_due": {"batches_with_slots", "batches_of_a_job_with_slots"},
    "lock_job_limits": {"job_limits_key", "batches_with_slots", "batches_of_a_job_with_slots"},
    "lock_overdue_batches": {"batches_by_overdue"},
    "find_next_due": {"ready_by_time", "batches_by_overdue"},
    "offer_expired_batches": {"batches_running"},
    "offer_stranded_batches": {"jobs_by_status", "batches_running"},
}
"""What else a statement may read a table by, because it looks for something and has no key."""
HOT = (
    "insert_plans",
    "find_due_batches",
    "find_first_due",
    "claim_batches",
    "lock_pools",
    "count_permits",
    "lock_job_limits",
    "grow_batches",
    "lock_overdue_batches",
    "lock_overdue_jobs",
    "find_next_due",
    "mark_started",
    "find_held_leases",
    "check_load_leases",
    "record_batches",
    "complete_executions",
    "fail_executions",
    "insert_attempts",
    "advance_jobs",
    "renew_leases",
    "record_deliveries",
    "lock_queued_jobs",
    "look_up_submissions",
    "find_owed_work",
    "offer_expired_batches",
)


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Connection]:
    """A connection like those of workers, with generic plans."""
    async with database_connections(database_url, **AS_WORKERS) as (worker,):
        for table in (*BIG, "ready"):  # the statistics of the tables are only gathered when asked for
            await worker.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        yield worker


async def prepare(worker: Connection, name: str) -> None:
    await worker.execute(f"PREPARE {name} AS {statement(name)}")
    await plan_of(worker, name)


async def plan_of(worker: Connection, name: str) -> dict[str, Any]:
    """The plan that an EXECUTE would now run: the cached one."""
    parameters = max(int(number) for number in re.findall(r"\$(\d+)", statement(name)))
    nothing = ", ".join(["NULL"] * parameters)
    explained = await worker.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name} ({nothing})")
    plan: dict[str, Any] = explained[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def faults(name: str, plan: dict[str, Any]) -> list[str]:
    """The parts of a plan that don't use a key."""
    found = []
    for node in nodes(plan):
        table, kind = node.get("Relation Name"), node["Node Type"]
        if table is None or kind in {"ModifyTable", "Function Scan"}:
            continue
        reads = node["Plans"][0] if kind == "Bitmap Heap Scan" else node
        index = reads.get("Index Name")
        allowed = BY_KEY.get(table, set()) | OTHERWISE.get(name, set())
        is_small = table not in BIG and name not in {"find_due_batches", "claim_batches"}
        if index not in allowed and not is_small:
            found.append(f"{name}: {kind} on {table} by {index}")
        elif index == "unique_execution_per_job_region_model_question" and "job_no" not in reads.get("Index Cond", ""):
            found.append(f"{name}: {kind} reads all of {index}")
    return found


async def fill(connection: Connection, *, jobs: int) -> list[ClaimedBatch]:
    """A full ledger: jobs of 1,000 cells, half of them ended; return the batches that aren't."""
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")
        claimed = await plan_and_claim(connection, [job_body(models=10, questions=100)] * jobs, batch_cells=500)
    for ended in claimed[: jobs // 2]:
        async with connection.transaction():
            await results.record(connection, map(answered, ended), source="a test")
    return [batch for batches in claimed[jobs // 2 :] for batch in batches]


async def test_plans_go_by_key_however_little_was_known(worker: Connection) -> None:
    for name in HOT:
        await prepare(worker, name)
    empty = [fault for name in HOT for fault in faults(name, await plan_of(worker, name))]
    await fill(worker, jobs=40)
    cached = [fault for name in HOT for fault in faults(name, await plan_of(worker, name))]
    for name in HOT:
        await worker.execute(f"DEALLOCATE {name}")
        await prepare(worker, name)
    unknown = [fault for name in HOT for fault in faults(name, await plan_of(worker, name))]
    await worker.execute("ANALYZE")
    known = [fault for name in HOT for fault in faults(name, await plan_of(worker, name))]
    assert (empty, cached, unknown, known) == ([], [], [], [])


async def test_a_page_of_imported_rows_is_a_range_of_their_keys(worker: Connection) -> None:
    await worker.execute(
        """
        INSERT INTO imported_records (record_set_no, record_key, payload, job_no, batch_no)
        SELECT n % 3, n::text, '{}', 1, 1 FROM generate_series(1, 30000) AS n
        """
    )
    await worker.execute("ANALYZE imported_records")
    await worker.execute("SET enable_seqscan = on; SET enable_hashjoin = on; SET enable_mergejoin = on")  # as the API
    await prepare(worker, "list_records")
    plan = await plan_of(worker, "list_records")
    (scan,) = (node for node in nodes(plan) if node.get("Relation Name") == "imported_records")
    assert scan["Index Name"] == "unique_imported_record"
    assert re.search(r"record_set_no = .*record_key >= ", scan["Index Cond"])
    assert "Sort" not in {node["Node Type"] for node in nodes(plan)}


async def seconds_of_finish(worker: Connection, batch: ClaimedBatch) -> float:
    """The time of recording a batch's answers."""
    report = answered(batch)
    started = time.perf_counter()
    async with worker.transaction():
        await results.record(worker, [report], source="a test")
    return time.perf_counter() - started


async def test_a_plan_made_on_empty_tables_finishes_500_rows_as_fast_as_one_that_knows(
    worker: Connection, database_url: str
) -> None:
    ((first,),) = await plan_and_claim(worker, [job_body(questions=1)], batch_cells=1)
    await seconds_of_finish(worker, first)  # plans, and keeps the plans
    batches = await fill(worker, jobs=60)
    await worker.execute("ANALYZE")
    stale, fresh = [], []
    async with database_connections(database_url, **AS_WORKERS) as (knowing,):
        for item, other in zip(batches[::2], batches[1::2], strict=True):
            stale.append(await seconds_of_finish(worker, item))
            fresh.append(await seconds_of_finish(knowing, other))
    assert median(stale) < 2 * median(fresh), (median(stale), median(fresh))
