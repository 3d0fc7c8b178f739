"""Tries that fail: repeated with backoff by any worker, then an end with its reason; never a loss."""

import json

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, statuses
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

SLOW_RECONCILER = {"LEASE_SECONDS": 60, "RECONCILE_SECONDS": 60}


async def test_half_of_all_tries_fail_and_every_cell_ends(fleet: Fleet, connection) -> None:
    """The timer alone makes retries due: the reconciler comes after a minute."""
    fleet.start(2, ECHO_FAILURE_RATE=0.5, **SLOW_RECONCILER)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=5, questions=20)] * 4))
    await all_ended(connection)
    found = await attempts(connection)
    assert set(found) == {("completed", 1), ("completed", 2), ("completed", 3), ("failed", 3)}
    assert sum(found.values()) == 400
    tries = await connection.fetchval("SELECT count(*) FROM attempts")
    assert tries == found["completed", 2] + 2 * found["completed", 3] + 2 * found["failed", 3]
    assert await counter_total(connection, "breakwater_retries", reason="echo_failure") == tries
    assert await counter_total(connection, "breakwater_executions", status="failed") == found["failed", 3]
    failed = await connection.fetch(
        "SELECT DISTINCT error_code, error_retryable, output FROM executions WHERE status = 'failed'"
    )
    assert [tuple(row) for row in failed] == [("echo_failure", True, None)]
    assert await statuses(connection) == {"partial": 4}
    assert await counter_total(connection, "breakwater_reconciled") == 0
    await assert_audit(connection)


NOTE_WAITS = """
CREATE TABLE waits (attempt_no int, wait interval);
CREATE FUNCTION note_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waits VALUES (NEW.attempts, NEW.not_before - now());
    RETURN NULL;
END
$$;
CREATE TRIGGER waits_are_noted AFTER UPDATE ON executions
FOR EACH ROW WHEN (NEW.attempts > OLD.attempts AND NEW.finished_at IS NULL) EXECUTE FUNCTION note_wait();
"""


async def test_retries_wait_longer_each_time_with_jitter(fleet: Fleet, connection) -> None:
    """The waits are those that were decided: when tries begin, several of them begin together."""
    await connection.execute(NOTE_WAITS)
    fleet.start(ECHO_FAILURE_RATE=1, **SLOW_RECONCILER)
    jobs = [job_body(questions=1, policy={"max_attempts": 4})] * 30
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, jobs))
    await all_ended(connection)
    waits = await connection.fetch(
        """
        SELECT attempt_no, extract(EPOCH FROM max(wait)) AS longest, count(DISTINCT wait) AS different
        FROM waits
        GROUP BY attempt_no
        ORDER BY attempt_no
        """
    )
    assert [row["attempt_no"] for row in waits] == [1, 2, 3]
    assert waits[0]["longest"] < waits[1]["longest"]
    assert waits[1]["longest"] > 1
    assert all(row["different"] == 30 for row in waits)
    await assert_audit(connection)


@pytest.mark.parametrize(
    ("rate", "min_success_rate", "verdict"), [(1, 0.01, "failed"), (0.5, 0.01, "partial"), (0.5, 0.999, "failed")]
)
async def test_the_final_status_follows_the_success_rate(
    fleet: Fleet, connection, rate: float, min_success_rate: float, verdict: str
) -> None:
    fleet.start(ECHO_FAILURE_RATE=rate)
    policy = {"max_attempts": 1, "min_success_rate": min_success_rate}
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=60, policy=policy)]))
    await all_ended(connection)
    assert await statuses(connection) == {verdict: 1}
    assert await connection.fetchval("SELECT count(*) FROM attempts") == 0
    await assert_audit(connection)


async def test_a_batch_whose_leases_are_lost_ten_times_in_a_row_fails_with_worker_lost(
    fleet: Fleet, connection
) -> None:
    quick = {"LEASE_SECONDS": 0.6, "HEARTBEAT_SECONDS": 0.1, "RECONCILE_SECONDS": 0.2}
    (first,) = fleet.start(ECHO_DELAY_SECONDS=30, **quick)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=4)]))

    async def running() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM batches WHERE status = 'running'"))

    await eventually_async(running, what="the worker holds the batch")
    await connection.execute("UPDATE batches SET lost_leases = 9")
    first.kill()
    fleet.start(**quick)
    await all_ended(connection)
    assert await statuses(connection) == {"failed": 1}
    rows = await connection.fetch("SELECT DISTINCT status, error_code, error_retryable FROM executions")
    assert [tuple(row) for row in rows] == [("failed", "worker_lost", False)]
    await assert_audit(connection)


async def test_lost_leases_count_in_a_row_only(fleet: Fleet, connection) -> None:
    quick = {"LEASE_SECONDS": 0.6, "HEARTBEAT_SECONDS": 0.1, "RECONCILE_SECONDS": 0.2}
    (first,) = fleet.start(ECHO_DELAY_SECONDS=0.3, WORKER_CONCURRENCY=1, **quick)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=10)]))

    async def some_ended() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM executions WHERE finished_at IS NOT NULL"))

    await connection.execute("UPDATE batches SET lost_leases = 9")
    await eventually_async(some_ended, what="a result came in")
    first.kill()
    fleet.start(**quick)
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)


UNPLANNABLE = {
    "no spec at all": "null",
    "an empty spec": "{}",
    "no questions": {"questions": []},
    "a question that the plan doesn't name": {"questions": [{"id": str(n), "text": "?"} for n in range(4)]},
    "a region that the plan doesn't name": {"models": [{"id": "m", "name": "m", "provider": "p", "regions": ["mars"]}]},
    "the planned cells in other places": {
        "models": [{"id": "model-0", "name": "m", "provider": "p", "regions": ["eu-west"]}],
        "regions": ["us-east", "eu-west"],
    },
    "models that are text": {"models": ["m"]},
    "a policy of another version": {"policy": {"patience": 3}},
}


@pytest.mark.parametrize("change", UNPLANNABLE.values(), ids=UNPLANNABLE)
async def test_a_stored_spec_that_cannot_be_planned_fails_alone(fleet: Fleet, connection, change) -> None:
    job_nos = await store_jobs(connection, [job_body(questions=3)] * 5)
    spec = await connection.fetchval("SELECT spec FROM specs WHERE job_no = $1", job_nos[2])
    changed = change if isinstance(change, str) else json.dumps({**spec, **change})
    await connection.execute("UPDATE specs SET spec = $1::text::json WHERE job_no = $2", changed, job_nos[2])
    (worker,) = fleet.start()
    await publish_envelopes(fleet.redis_url, job_nos)
    await all_ended(connection, seconds=10)
    assert worker.is_alive
    ended = await connection.fetch("SELECT job_no, error_code, error_detail FROM jobs WHERE status = 'failed'")
    assert [(row["job_no"], row["error_code"]) for row in ended] == [(job_nos[2], "unplannable_spec")]
    assert ended[0]["error_detail"]
    assert await statuses(connection) == {"completed": 4, "failed": 1}
    assert await attempts(connection) == {("completed", 1): 12}
    assert await counter_total(connection, "breakwater_coordination", outcome="failed") == 1
    await assert_audit(connection)
