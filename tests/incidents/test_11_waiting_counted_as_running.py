"""Incident 11: a job timed out after ten minutes, nine of which it had waited in the queue."""

from tests.fleet import Fleet, all_ended, assert_audit, attempts, body, ring, seed


async def test_a_call_has_its_whole_timeout_however_long_it_waited(fleet: Fleet, connection) -> None:
    """One call at a time, each shorter than the timeout; the last has waited for several times as long."""
    fleet.start(ECHO_DELAY_SECONDS=0.2, WORKER_CONCURRENCY=1)
    await ring(fleet.redis_url, await seed(connection, [body(questions=8, policy={"timeout_seconds": 0.5})]))
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 8}
    waited = await connection.fetchval(
        "SELECT extract(EPOCH FROM max(e.started_at) - min(j.queued_at))::float8 FROM executions AS e JOIN jobs AS j"
        " USING (job_no)"
    )
    assert waited > 1
    await assert_audit(connection)
