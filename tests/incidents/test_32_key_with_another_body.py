"""Incident 32: a key with another body gave the old job with 200, and two at once both ran."""

from collections.abc import Iterator
from typing import cast

import orjson
import pytest
import redis

from broker import envelopes
from tests.support.service import Client, Process, unique
from tests.support.simultaneous_clients import SimultaneousClients, simultaneous_clients
from tests.support.waiting import eventually_async

AT_ONCE = 50


@pytest.fixture(scope="module")
def clients() -> Iterator[SimultaneousClients]:
    with simultaneous_clients(2) as started:
        yield started


async def test_another_body_is_refused(client: Client) -> None:
    body, other = unique(), unique()
    await client.post(body, key=body["name"])
    refused = await client.post(other, key=body["name"])
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert refused.json()["differences"] == ["/name"]
    assert await client.jobs(other["name"]) == []


async def test_fifty_at_once_are_one_job_and_one_envelope(
    client: Client, clients: SimultaneousClients, service: Process, redis_url: str
) -> None:
    body = unique()
    replies = clients.post([service.url], [body] * AT_ONCE, key=body["name"])
    assert {reply.status for reply in replies} <= {202, 409}
    after = unique()
    await client.post(after)
    (job,), (last,) = await client.jobs(body["name"]), await client.jobs(after["name"])
    with redis.Redis.from_url(redis_url) as stream:
        await eventually_async(
            lambda: count_envelopes(stream, last["job_no"]), what="the last envelope, after all others"
        )
        assert await count_envelopes(stream, job["job_no"]) == 1


async def count_envelopes(stream: "redis.Redis", job_no: int) -> int:
    """How many envelopes of the job there are."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", stream.xrange(envelopes.STREAM))
    return sum(orjson.loads(fields[envelopes.FIELD])["job"] == job_no for _, fields in entries)
