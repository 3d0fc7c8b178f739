"""A worker that stands still past its lease, and comes back: what it then writes changes nothing."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total
from tests.support.provider_server import ProviderServer, answer, held, in_turn
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}


async def test_stale_writes_change_nothing_and_are_counted(fleet: Fleet, connection, provider: ProviderServer) -> None:
    provider.behave = held(answer())
    fleet.use_config(provider.config(regions=("us-east", "eu-west", "asia-pacific")))
    (first,) = fleet.start(**QUICK)
    (job_no,) = await store_jobs(connection, [job_body(models=2, regions=3, questions=3)])
    await publish_envelopes(fleet.redis_url, [job_no])
    eventually(lambda: provider.in_flight == 18, what="each call of the first worker is out")
    first.pause()
    provider.release()
    eventually(
        lambda: provider.in_flight == 0, what="each call has its answer, which the first worker doesn't know yet"
    )
    fleet.start(**QUICK)
    await all_ended(connection)
    before = await connection.fetch("SELECT * FROM executions ORDER BY 1, 2, 3, 4")
    first.go_on()

    async def fenced() -> bool:
        return await counter_total(connection, "breakwater_duplicates_prevented", layer="fence") == 18

    await eventually_async(fenced, what="each stale result counted")
    assert await connection.fetch("SELECT * FROM executions ORDER BY 1, 2, 3, 4") == before
    assert await attempts(connection) == {("completed", 1): 18}
    assert await counter_total(connection, "breakwater_leases_lost") == await connection.fetchval(
        "SELECT count(*) FROM batches"
    )
    assert sum(line["cells"] for line in first.events("duplicate_prevented", layer="fence")) == 18
    await assert_audit(connection)


async def test_a_paused_worker_drops_lost_batches_and_works_on(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = in_turn(held(answer()), answer())
    fleet.use_config(provider.config())
    (first,) = fleet.start(**QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=5)]))
    eventually(lambda: provider.in_flight == 5, what="each call of the first worker is out")
    first.pause()
    (second,) = fleet.start(**QUICK)
    await all_ended(connection)
    first.go_on()
    first.wait_for("lease_gone")
    second.stop()
    provider.release()
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 6}
    assert await counter_total(connection, "breakwater_executions") == 6
    await assert_audit(connection)


async def test_an_expired_lease_that_no_other_worker_took_may_still_write(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """A paid answer isn't thrown away."""
    provider.behave = held(answer())
    fleet.use_config(provider.config())
    (worker,) = fleet.start(**QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=5)]))
    eventually(lambda: provider.in_flight == 5, what="each call of the worker is out")
    worker.pause()
    provider.release()

    async def expired() -> bool:
        return (
            await connection.fetchval("SELECT count(*) FROM batches WHERE lease_until < now() - interval '0.3 s'") == 1
        )

    await eventually_async(expired, what="the lease ran out")
    worker.go_on()
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 5}
    assert await counter_total(connection, "breakwater_duplicates_prevented") == 0
    await assert_audit(connection)


async def test_a_call_longer_than_the_lease_is_not_taken_from_a_living_worker(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=2.5, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=5)]))
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 5}
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    assert await counter_total(connection, "breakwater_duplicates_prevented") == 0
    await assert_audit(connection)
