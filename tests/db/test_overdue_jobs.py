"""Queued jobs that waited too long are found by their time alone, and only what is still queued is ended as such."""

import asyncpg
import pytest

from db import coordination
from domain.outcome import QUEUE_TIMEOUT
from tests.support.jobs import job_body, queue_copies, store_jobs
from tests.support.planned_batches import plan_and_claim

QUEUED = 12_000
MOST_READ = 200
READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
FROM pg_stat_xact_user_tables
WHERE relname IN ('jobs', 'specs')
"""
HASTE = {"queue_timeout_seconds": 1}
AN_HOUR_LATER = "UPDATE jobs SET overdue_at = overdue_at - interval '1 hour' WHERE job_no = ANY ($1::bigint[])"


@pytest.mark.parametrize("analyzed", ["never", "empty", "full"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_overdue_jobs_are_locked_without_reading_the_queue(
    connection: asyncpg.Connection, mode: str, analyzed: str
) -> None:
    """Even by a plan that was made when no job was queued."""
    await connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    await connection.execute(f"SET plan_cache_mode = {mode}")
    await plan_and_claim(connection, [job_body()] * 40, batch_cells=1)
    if analyzed == "empty":
        await connection.execute("VACUUM ANALYZE jobs")
    assert await coordination.lock_overdue_jobs(connection) == []
    patience = [job_body(), job_body(policy={"queue_timeout_seconds": 86_400})]
    for job_no in await store_jobs(connection, patience):
        await queue_copies(connection, job_no, QUEUED // 2)
    late = await store_jobs(connection, [job_body(questions=n, policy=HASTE) for n in (3, 2, 1)])
    await connection.execute(AN_HOUR_LATER, late)
    if analyzed == "full":
        await connection.execute("ANALYZE jobs, specs")
    async with connection.transaction():
        before = await connection.fetchval(READ)
        locked = await coordination.lock_overdue_jobs(connection)
        assert await connection.fetchval(READ) - before < MOST_READ
    assert {job.job_no for job in locked} == set(late)


async def test_those_that_are_overdue_for_longest_are_locked_first(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordination, "OVERDUE_AT_ONCE", 2)
    stored = await store_jobs(connection, [job_body(policy=HASTE)] * 3)
    for n in range(len(stored)):
        await connection.execute(AN_HOUR_LATER, stored[n:])
    async with connection.transaction():
        locked = await coordination.lock_overdue_jobs(connection)
    assert [job.job_no for job in locked] == sorted(stored, reverse=True)[:2]


async def test_a_job_that_is_held_for_another_configuration_is_overdue_too(connection: asyncpg.Connection) -> None:
    late = await store_jobs(connection, [job_body(policy=HASTE)])
    await connection.execute(AN_HOUR_LATER, late)
    await connection.execute("UPDATE jobs SET identity_nos = '{9001}'")
    assert [job.job_no for job in await coordination.lock_overdue_jobs(connection)] == late


async def test_a_job_that_is_not_queued_any_more_is_not_ended_as_one_that_is(connection: asyncpg.Connection) -> None:
    ((batch,),) = await plan_and_claim(connection, [job_body(policy=HASTE)], batch_cells=1)
    await connection.execute(AN_HOUR_LATER, [batch.job_no])
    async with connection.transaction():
        assert await coordination.lock_overdue_jobs(connection) == []
        await coordination.fail_queued_jobs(connection, [(batch.job_no, "initial", QUEUE_TIMEOUT, "It waited.")], 1)
    assert await connection.fetchval("SELECT status FROM jobs") == "running"
    assert await connection.fetchval("SELECT count(*) FROM triggers WHERE outcome = 'failed'") == 0
