"""Incident 7: jobs stayed `created` for ever, their message lost or its taker dead. They end unattended, and once."""

import time

from redis.exceptions import ResponseError

from broker import envelopes
from broker.envelopes import FIELD, GROUP, STREAM, Envelope
from db.engine import Connection
from tests.support.connections import broker_client
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, stream_is_empty
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}


async def both_listen(client: envelopes.Client) -> bool:
    try:
        return len(await client.xinfo_consumers(STREAM, GROUP)) == 2
    except ResponseError:
        return False


async def test_a_message_whose_taker_died_before_it_wrote_anything(fleet: Fleet, connection) -> None:
    fleet.start(2, **QUICK)
    (job_no,) = await store_jobs(connection, [job_body(questions=3)])
    async with broker_client(fleet.redis_url) as client:
        await eventually_async(lambda: both_listen(client), what="both wait for envelopes")
        taken = client.pipeline(transaction=True)  # so that no living worker can be faster
        taken.xadd(STREAM, {FIELD: Envelope(job=job_no, source="initial", enqueued_at=time.time()).to_bytes()})
        taken.xreadgroup(GROUP, "dead", {STREAM: ">"})
        _, read = await taken.execute()
        assert read
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("completed", 1): 3}
    assert await counter_total(connection, "breakwater_duplicates_prevented") == 0
    await assert_audit(connection)


async def test_a_job_without_an_envelope(fleet: Fleet, connection) -> None:
    """Both workers have taken their first look, at everything, before the job is there; the count follows it.

    A worker that Redis didn't answer in time looks at everything as well, and may plan the job before it is announced:
    then there is another one.
    """
    fleet.start(2, **QUICK)
    async with broker_client(fleet.redis_url) as client:
        await eventually_async(lambda: both_listen(client), what="both wait for envelopes")
    jobs = 0
    while not await announced(connection):
        looks = looks_without_redis(fleet)
        await store_jobs(connection, [job_body(questions=3)])
        jobs += 1
        await all_ended(connection)

        async def is_counted_or_looked_at(looks: int = looks) -> bool:
            return bool(await announced(connection)) or looks_without_redis(fleet) > looks

        await eventually_async(is_counted_or_looked_at, what="an announcement is counted")
    assert 1 <= await announced(connection) <= jobs
    assert await attempts(connection) == {("completed", 1): 3 * jobs}
    await assert_audit(connection)


async def announced(connection: Connection) -> float:
    return await counter_total(connection, "breakwater_reconciled", reason="unannounced")


def looks_without_redis(fleet: Fleet) -> int:
    """How often a worker logged that Redis doesn't answer, or does again: until then it looks by itself."""
    events = ("broker_unavailable", "broker_not_writable", "broker_writable")
    return sum(len(worker.events(event)) for worker in fleet.workers for event in events)
