"""An envelope may arrive any number of times, at any worker, at any time: its job is planned and run once."""

import time

import orjson
import pytest

from broker import envelopes
from broker.envelopes import Envelope
from tests.support.connections import broker_client, publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, stream_is_empty
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 1, "HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.3}


async def test_ten_envelopes_and_four_workers_run_each_cell_once(fleet: Fleet, connection) -> None:
    fleet.start(4, ECHO_DELAY_SECONDS=0.02)
    (job_no,) = await store_jobs(connection, [job_body(models=3, regions=3, questions=2)])
    await publish_envelopes(fleet.redis_url, [job_no] * 10)
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("completed", 1): 18}
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="delivery") == 9
    outcomes = await connection.fetch("SELECT source, outcome, count(*) FROM triggers GROUP BY 1, 2 ORDER BY 2")
    assert [tuple(row) for row in outcomes] == [("initial", "joined", 9), ("initial", "won", 1)]
    await assert_audit(connection)


async def test_envelopes_of_many_jobs_in_any_order_are_each_counted(fleet: Fleet, connection) -> None:
    fleet.start(4)
    job_nos = await store_jobs(connection, [job_body(questions=4)] * 50)
    await publish_envelopes(fleet.redis_url, [*job_nos, *reversed(job_nos), *job_nos])
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("completed", 1): 200}
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="delivery") == 100
    assert await counter_total(connection, "breakwater_coordination", outcome="won") == 50
    await assert_audit(connection)


async def test_an_envelope_in_dead_hands_is_taken_over_and_counted_when_its_job_has_ended(
    fleet: Fleet, connection
) -> None:
    (job_no,) = await store_jobs(connection, [job_body(questions=3)])
    async with broker_client(fleet.redis_url) as client:
        await envelopes.reserve(client, "dead", count=1, block_seconds=0.001)
        await publish_envelopes(fleet.redis_url, [job_no])
        assert len(await envelopes.reserve(client, "dead", count=1, block_seconds=1)) == 1
    fleet.start(1, **QUICK)
    await publish_envelopes(fleet.redis_url, [job_no])
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("completed", 1): 3}
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="delivery") == 1
    await assert_audit(connection)


async def test_an_envelope_in_dead_hands_is_answered_for_a_job_that_waits(fleet: Fleet, connection) -> None:
    (job_no,) = await store_jobs(connection, [job_body(questions=3)])
    async with broker_client(fleet.redis_url) as client:
        await envelopes.reserve(client, "dead", count=1, block_seconds=0.001)
        await publish_envelopes(fleet.redis_url, [job_no])
        assert len(await envelopes.reserve(client, "dead", count=1, block_seconds=1)) == 1
    fleet.start(1, **QUICK)
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert await counter_total(connection, "breakwater_duplicates_prevented", layer="delivery") == 0
    await assert_audit(connection)


GARBAGE = {
    "no JSON": b"\x80\x04K\x01.",
    "no object": b"[1, 2]",
    "another version": orjson.dumps({"v": 2, "job": 1, "source": "initial", "enqueued_at": 0}),
    "a field we don't know": orjson.dumps({"v": 1, "job": 1, "source": "initial", "enqueued_at": 0, "more": 1}),
    "no job": orjson.dumps({"v": 1, "source": "initial", "enqueued_at": 0}),
    "a job that is no number": orjson.dumps({"v": 1, "job": "1", "source": "initial", "enqueued_at": 0}),
    "a job that is true": orjson.dumps({"v": 1, "job": True, "source": "initial", "enqueued_at": 0}),
    "a job past every number": orjson.dumps({"v": 1, "job": 2**63, "source": "initial", "enqueued_at": 0}),
    "a source nobody has": orjson.dumps({"v": 1, "job": 1, "source": "evil", "enqueued_at": 0}),
    "a source that is no text": orjson.dumps({"v": 1, "job": 1, "source": 7, "enqueued_at": 0}),
    "a batch that is no number": orjson.dumps({"v": 1, "job": 1, "batch": "b", "source": "initial", "enqueued_at": 0}),
}


@pytest.mark.parametrize("entry", GARBAGE.values(), ids=GARBAGE)
async def test_an_entry_that_is_no_envelope_is_taken_off_and_stops_no_worker(
    fleet: Fleet, connection, entry: bytes
) -> None:
    (worker,) = fleet.start()
    (job_no,) = await store_jobs(connection, [job_body()])
    async with broker_client(fleet.redis_url) as client:
        await client.xadd(envelopes.STREAM, {envelopes.FIELD: entry})
        await client.xadd(envelopes.STREAM, {b"something else": b"1"})
    await publish_envelopes(fleet.redis_url, [job_no, job_no])
    await all_ended(connection)
    await stream_is_empty(fleet.redis_url)
    assert worker.is_alive
    assert len(worker.events("envelope_not_understood")) == 2
    await assert_audit(connection)


async def test_an_envelope_for_nothing_is_acknowledged(fleet: Fleet, connection) -> None:
    (worker,) = fleet.start()
    await publish_envelopes(fleet.redis_url, [404])
    async with broker_client(fleet.redis_url) as client:
        envelope = Envelope(job=404, batch=7, source="fallback", enqueued_at=time.time())
        await envelopes.publish(client, [envelope])
    await stream_is_empty(fleet.redis_url)
    assert worker.is_alive
    assert await counter_total(connection, "breakwater_duplicates_prevented") == 0
