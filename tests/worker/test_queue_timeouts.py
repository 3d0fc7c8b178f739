"""Waiting has a limit of its own: what never began in time fails with that reason, whatever held it."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, queue_copies, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, statuses
from tests.support.provider_server import ProviderServer, answer, held
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

SLOW_RECONCILER = {"LEASE_SECONDS": 60, "RECONCILE_SECONDS": 60}
IMPATIENT = {"queue_timeout_seconds": 0.5}


async def start_full_worker(fleet: Fleet, connection, provider: ProviderServer) -> None:
    """Start a worker whose only call goes on until it is released."""
    provider.behave = held(answer())
    config = fleet.folder / "config.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config, WORKER_CONCURRENCY=1, RECONCILE_SECONDS=0.2)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    eventually(lambda: provider.in_flight == 1, what="the only call is out")


async def test_cells_that_never_began_in_time_fail_while_others_run_on(fleet: Fleet, connection) -> None:
    """The timer alone ends them: the reconciler comes after a minute, and the only permit is taken for longer.

    Both jobs are planned together and the smaller one begins: a worker without a free permit plans no more.
    """
    seconds, call_seconds = 3, 6
    fleet.start(ECHO_DELAY_SECONDS=call_seconds, WORKER_CONCURRENCY=1, **SLOW_RECONCILER)
    bodies = [job_body(questions=1), job_body(questions=3, policy={"queue_timeout_seconds": seconds})]
    patient, impatient = await store_jobs(connection, bodies)
    await publish_envelopes(fleet.redis_url, [patient, impatient])
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 1, ("failed", 0): 3}
    assert await statuses(connection) == {"completed": 1, "failed": 1}
    rows = await connection.fetch(
        "SELECT DISTINCT e.error_code, e.started_at, e.provider_used FROM executions AS e WHERE job_no = $1", impatient
    )
    assert [tuple(row) for row in rows] == [("queue_timeout", None, None)]
    waited = await connection.fetchval(
        "SELECT extract(EPOCH FROM finished_at - queued_at)::float8 FROM jobs WHERE job_no = $1", impatient
    )
    assert seconds <= waited < call_seconds
    assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0
    await assert_audit(connection)


async def test_a_job_that_was_not_planned_in_time_fails_as_a_job(fleet: Fleet, connection) -> None:
    """Whoever plans it sees that, too: the release before this one stores jobs that no leader finds overdue."""
    patient, impatient = await store_jobs(connection, [job_body(questions=3), job_body(questions=3, policy=IMPATIENT)])
    await connection.execute(
        "UPDATE jobs SET created_at = now() - interval '1 s', queued_at = now() - interval '1 s', overdue_at = NULL"
    )
    fleet.start()
    await publish_envelopes(fleet.redis_url, [patient, impatient])
    await all_ended(connection)
    rows = await connection.fetch("SELECT job_no, status, error_code FROM jobs ORDER BY job_no")
    assert [tuple(row) for row in rows] == [(patient, "completed", None), (impatient, "failed", "queue_timeout")]
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE job_no = $1", impatient) == 0
    await assert_audit(connection)


async def test_a_job_that_no_worker_has_room_to_plan_fails_in_time(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """The only call goes on until the job has failed, so the worker plans nothing meanwhile."""
    await start_full_worker(fleet, connection, provider)
    impatient, patient = await store_jobs(connection, [job_body(questions=3, policy=IMPATIENT), job_body(name="other")])
    await eventually_async(lambda: has_waited_too_long(connection, impatient), what="it has failed without room")
    assert (provider.in_flight, len(provider.calls)) == (1, 1)
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE job_no = $1", impatient) == 0
    provider.release()
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 2, "failed": 1}
    triggers = await connection.fetch("SELECT source, outcome FROM triggers WHERE job_no = $1", impatient)
    assert [tuple(row) for row in triggers] == [("initial", "failed")]
    assert await counter_total(connection, "breakwater_coordination", source="initial", outcome="failed") == 1
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", patient) == "completed"
    await assert_audit(connection)


async def test_a_job_fails_in_time_however_many_come_before_it(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    await start_full_worker(fleet, connection, provider)
    (patient,) = await store_jobs(connection, [job_body(name="other")])
    await queue_copies(connection, patient, 12_000)
    (impatient,) = await store_jobs(connection, [job_body(questions=3, policy=IMPATIENT)])
    await eventually_async(lambda: has_waited_too_long(connection, impatient), what="it has failed behind the others")
    assert await statuses(connection) == {"running": 1, "queued": 12_001, "failed": 1}


async def has_waited_too_long(connection, job_no: int) -> bool:
    return await connection.fetchval("SELECT error_code FROM jobs WHERE job_no = $1", job_no) == "queue_timeout"


async def test_a_long_run_is_not_a_long_wait(fleet: Fleet, connection) -> None:
    """Each batch began in time; that the last of its cells is asked later than that is run time."""
    fleet.start(ECHO_DELAY_SECONDS=0.3, WORKER_CONCURRENCY=1)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=6, policy=IMPATIENT)]))
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 6}
    await assert_audit(connection)


async def test_work_that_no_worker_serves_any_more_ends_in_time_and_harms_no_worker(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """It was planned under a configuration that is gone: no pool of this worker holds it."""
    provider.behave = held(answer())
    before, after = fleet.folder / "before.toml", fleet.folder / "after.toml"
    before.write_text(provider.config(max_concurrent=1))
    after.write_text(provider.config(name="other"))
    (first,) = fleet.start(CONFIG=before, LEASE_SECONDS=60, RECONCILE_SECONDS=60)
    blocking, waiting = await store_jobs(
        connection, [job_body(), job_body(name="waiting", questions=2, policy={"queue_timeout_seconds": 2})]
    )
    await publish_envelopes(fleet.redis_url, [blocking])
    eventually(lambda: provider.in_flight == 1, what="the only call is taken")
    await publish_envelopes(fleet.redis_url, [waiting])
    await eventually_async(
        lambda: connection.fetchval("SELECT count(*) FROM batches WHERE job_no = $1", waiting), what="it is planned"
    )
    first.kill()
    (second,) = fleet.start(CONFIG=after)

    async def has_failed() -> bool:
        return await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", waiting) == "failed"

    await eventually_async(has_failed, what="what waited has failed")
    codes = await connection.fetch("SELECT DISTINCT error_code FROM executions WHERE job_no = $1", waiting)
    assert [row["error_code"] for row in codes] == ["queue_timeout"]
    assert second.is_alive
