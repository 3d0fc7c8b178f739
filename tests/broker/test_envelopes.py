"""The stream: one consumer takes an entry, another takes it over from a dead one, and acknowledging deletes it."""

import time
from collections.abc import AsyncIterator

import pytest

from broker import envelopes
from broker.envelopes import Client, Envelope
from tests.support.connections import broker_client, envelope_of


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with broker_client(redis_url) as client:
        await envelopes.reserve(client, "one", count=1, block_seconds=0.001)  # makes the group
        yield client


async def take(client: Client, consumer: str = "one", count: int = 10) -> list[envelopes.Delivery]:
    return await envelopes.reserve(client, consumer, count=count, block_seconds=0.01)


async def test_an_envelope_comes_out_as_it_went_in(client: Client) -> None:
    sent = Envelope(job=7, batch=3, source="manual", enqueued_at=1.5, attempt=2, traceparent="00-ab-cd-01")
    await envelopes.publish(client, [sent])
    (delivery,) = await take(client)
    assert delivery.envelope == sent


async def test_each_envelope_goes_to_one_consumer(client: Client) -> None:
    await envelopes.publish(client, map(envelope_of, range(1, 21)))
    first, second = await take(client, "one", 10), await take(client, "two", 20)
    jobs = [delivery.envelope.job for delivery in (*first, *second) if delivery.envelope]
    assert sorted(jobs) == list(range(1, 21))


async def test_an_acknowledged_envelope_is_deleted_from_the_stream(client: Client) -> None:
    await envelopes.publish(client, map(envelope_of, (1, 2, 3)))
    taken = await take(client)
    await envelopes.acknowledge(client, [delivery.entry_id for delivery in taken[:2]])
    state = await envelopes.look(client)
    assert (state.depth, state.undelivered) == (1, 0)
    await envelopes.acknowledge(client, [])
    await envelopes.acknowledge(client, [taken[2].entry_id, taken[2].entry_id])
    assert (await envelopes.look(client)).depth == 0


async def test_an_idle_entry_is_taken_over_by_another_consumer(client: Client) -> None:
    await envelopes.publish(client, [envelope_of(1)])
    await take(client, "dead")
    assert await envelopes.take_over(client, "one", idle_seconds=60, count=10) == []
    (taken,) = await envelopes.take_over(client, "one", idle_seconds=0, count=10)
    assert taken.envelope is not None
    assert taken.envelope.job == 1


async def test_a_group_that_is_gone_is_made_anew_from_the_beginning(client: Client) -> None:
    await client.flushall()
    await envelopes.publish(client, map(envelope_of, (1, 2)))
    assert await take(client) == []
    assert len(await take(client)) == 2


@pytest.mark.parametrize("with_entry", [False, True])
async def test_every_look_without_a_group_is_an_answer(client: Client, *, with_entry: bool) -> None:
    await client.flushall()
    if with_entry:
        await envelopes.publish(client, [envelope_of(1)])
    state = await envelopes.look(client)
    assert (state.depth, state.undelivered) == (int(with_entry), int(with_entry))
    await client.flushall()
    assert await envelopes.take_over(client, "one", idle_seconds=0, count=1) == []
    await client.flushall()
    await envelopes.forget(client, "one")


async def test_the_age_is_the_oldest_entrys(client: Client) -> None:
    assert (await envelopes.look(client)).oldest_age_seconds == 0
    await client.xadd(
        envelopes.STREAM, {envelopes.FIELD: envelope_of(1).to_bytes()}, id=f"{int((time.time() - 90) * 1000)}-0"
    )
    await envelopes.publish(client, [envelope_of(2)])
    assert 85 < (await envelopes.look(client)).oldest_age_seconds < 95


async def test_a_consumer_that_holds_something_is_not_forgotten(client: Client) -> None:
    await envelopes.publish(client, [envelope_of(1)])
    (held,) = await take(client, "one")
    await envelopes.forget(client, "one")
    assert await envelopes.take_over(client, "two", idle_seconds=0, count=1)
    await envelopes.acknowledge(client, [held.entry_id])
    await envelopes.forget(client, "one")
    names = [consumer["name"] for consumer in await client.xinfo_consumers(envelopes.STREAM, envelopes.GROUP)]
    assert names == [b"two"]
