"""A timeline as a client follows it, of a job that waits, is submitted again, is held and ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from db.engine import Connection
from tests.support.event_streams import Sent, parse
from tests.support.service import Client, unique
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.3}
PAUSED = ("/regions/eu-west", "/providers/echo")
SECONDS = 30


async def until(sent: AsyncGenerator[Sent, None], seen: list[Any], kind: str, count: int = 1) -> None:
    """Read until so many events of a type were seen."""
    async with asyncio.timeout(SECONDS):
        while [item["type"] for item in seen].count(kind) < count:
            seen.append((await anext(sent)).item)


async def test_a_timeline_says_what_became_of_the_job(fleet: Fleet, connection: Connection, own_client: Client) -> None:
    http = own_client.http
    fleet.start(1, **QUICK)
    for path in PAUSED:
        await http.post(f"{path}/pause")
    body = unique(id="followed", regions=["eu-west"], policy={"on_paused": "wait"})
    assert (await own_client.post(body)).status_code == 202
    seen: list[Any] = []
    async with (
        http.stream("GET", "/jobs/followed/events", headers={"Accept": "text/event-stream"}) as answer,
        aclosing(parse(answer.aiter_lines())) as sent,
    ):
        await until(sent, seen, "held", 2)
        async with connection.transaction():
            await connection.execute("SELECT FROM jobs WHERE id = 'followed' FOR NO KEY UPDATE")
            assert (await own_client.post(body)).json()["outcome"] == "joined"
        await until(sent, seen, "submitted", 2)
        await http.post(f"{PAUSED[0]}/resume")
        await until(sent, seen, "released")
        await http.post(f"{PAUSED[1]}/resume")
        async with asyncio.timeout(SECONDS):
            seen += [event.item async for event in sent]
    assert [item["id"] for item in seen] == list(range(1, len(seen) + 1))
    kinds = [item["type"] for item in seen]
    assert (kinds[0], kinds[-1]) == ("submitted", "finished")
    assert sorted(set(kinds)) == ["coordinated", "finished", "held", "released", "submitted"]
    reasons = [(item["type"], item["data"]["reason"]) for item in seen if item["type"] in {"held", "released"}]
    assert reasons[:3] == [("held", "provider_paused"), ("held", "region_paused"), ("released", "region_paused")]
    listed = (await http.get("/jobs/followed/events", params={"limit": 200})).json()["items"]
    assert listed == seen
