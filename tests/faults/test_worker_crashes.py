"""Workers that are killed in the middle, or asked to stop: nothing is lost and nothing is done twice."""

import random
import time

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, job_body_of, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, statuses
from tests.support.provider_server import ProviderServer, after, answer, by_question, held
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}


async def ended_cells(connection) -> int:
    ended: int = await connection.fetchval("SELECT count(*) FROM executions WHERE finished_at IS NOT NULL")
    return ended


async def running_batches(connection) -> int:
    running: int = await connection.fetchval("SELECT count(*) FROM batches WHERE status = 'running'")
    return running


async def test_a_new_worker_ends_the_batches_of_a_killed_worker(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """The calls about the last question are answered once the first worker is dead."""
    provider.behave = by_question({"What is 2 plus 2?": held(answer())}, answer())
    fleet.use_config(provider.config(regions=("us-east", "eu-west", "asia-pacific")))
    (first,) = fleet.start(WORKER_CONCURRENCY=4, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=2, regions=3, questions=3)]))
    await eventually_async(lambda: ended_cells(connection), what="the first cells ended")
    eventually(lambda: provider.in_flight, what="others wait for their answers")
    first.kill()
    had_ended = await ended_cells(connection)
    assert 0 < had_ended < 18
    provider.release()
    fleet.start(**QUICK)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 18}
    assert await counter_total(connection, "breakwater_executions", status="completed") == 18
    assert await counter_total(connection, "breakwater_leases_lost") > 0
    await assert_audit(connection)


async def test_workers_that_keep_being_killed_end_everything_once(fleet: Fleet, connection) -> None:
    dice = random.Random(20)
    fleet.settings = {"ECHO_DELAY_SECONDS": 0.02, "ECHO_FAILURE_RATE": 0.1, **QUICK}
    bodies = [job_body_of(dice.choice([1, 5, 40, 120, 300])) for _ in range(20)]
    alive = fleet.start(4)
    job_nos = await store_jobs(connection, bodies)
    await publish_envelopes(fleet.redis_url, job_nos)
    began = time.monotonic()
    kills = 0

    async def has_something_to_lose() -> bool:
        if not await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL"):
            await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body_of(300)]))
        return bool(await running_batches(connection))

    while time.monotonic() - began < 10 or kills < 8:
        await eventually_async(has_something_to_lose, what="something in hand to lose")
        victim = alive.pop(dice.randrange(len(alive)))
        victim.kill()
        kills += 1
        alive += fleet.start(1)
    await all_ended(connection, seconds=60)
    assert all(worker.is_alive for worker in alive)
    recount = await connection.fetchval("SELECT count(*) FROM executions WHERE status IN ('completed', 'failed')")
    assert await counter_total(connection, "breakwater_executions") == recount
    await assert_audit(connection)


async def test_a_stopped_worker_releases_running_batches(fleet: Fleet, connection) -> None:
    """No reconciler and no expired lease has a part in this: both take half a minute."""
    first, second = fleet.start(2, ECHO_DELAY_SECONDS=20, SHUTDOWN_SECONDS=4, LEASE_SECONDS=60, RECONCILE_SECONDS=60)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=8), job_body(questions=8)])
    )
    await eventually_async(lambda: running_batches(connection), what="calls run")
    third = fleet.start(LEASE_SECONDS=60, RECONCILE_SECONDS=60)[0]
    assert first.stop() < 4.5
    assert second.stop() < 4.5
    await all_ended(connection, seconds=3)
    assert third.is_alive
    assert await attempts(connection) == {("completed", 1): 16}
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    assert await connection.fetchval("SELECT count(*) FROM workers WHERE stopped_at IS NOT NULL") == 2
    await assert_audit(connection)


async def test_a_stopped_worker_ends_batches_that_finish_in_time(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = after(1, answer())
    fleet.use_config(provider.config())
    (worker,) = fleet.start(SHUTDOWN_SECONDS=10)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=8)]))
    eventually(lambda: provider.in_flight == 8, what="each call is out")
    assert worker.stop() < 4
    assert await statuses(connection) == {"completed": 1}
    assert not worker.events("handed_back")
    await assert_audit(connection)


async def test_a_retry_that_waits_is_not_forgotten_when_its_worker_stops(fleet: Fleet, connection) -> None:
    (first,) = fleet.start(ECHO_FAILURE_RATE=1, **QUICK)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=50, policy={"max_attempts": 20})])
    )

    async def waits() -> bool:
        waiting = "SELECT count(*) FROM ready WHERE not_before > now() + interval '1.5 s'"
        return bool(await connection.fetchval(waiting))

    await eventually_async(waits, what="a retry waits for its time")
    (second,) = fleet.start(**QUICK)
    first.stop()
    await all_ended(connection)
    assert second.is_alive
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)
