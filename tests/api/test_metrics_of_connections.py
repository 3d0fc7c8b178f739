"""Each connection that the server refuses or cuts off is counted once, by its reason."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg

from api import bounded_connections, refusals
from api.app import KINDS
from api.refusals import Refusal
from api.registration import Registration
from db.engine import Engine
from runtime.databases import Reminder
from runtime.metrics import CONNECTIONS_REFUSED
from tests.support.bounded_server import Wire, bounded_server
from tests.support.metrics import fleet_value, scrape_samples
from tests.support.service import Process, api_client
from tests.support.waiting import eventually_async

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NAME = f"{CONNECTIONS_REFUSED.name}_total"
REASONS = {labels[0] for labels in CONNECTIONS_REFUSED.zeros}
HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
COUNTED = "SELECT labels::json ->> 'reason' AS reason, sum(value) AS count FROM tallies WHERE series = $1 GROUP BY 1"


async def test_refused_connections_are_counted_once(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    process = start_api(database_url, redis_url, receive_seconds=0.5, heartbeat_seconds=0.3)
    async with api_client(process, database_url) as client:
        assert fleet_value(await scrape_samples(client.http), NAME, reason="silent") == 0
        sent = {
            "bad_request": b"\x16\x03\x01\r\n\r\n",
            "header_section_too_large": HEAD + b"X: " + b"x" * 70_000,
            "request_timeout": HEAD,
            "silent": b"",
        }
        for data in sent.values():
            async with Wire(process.url) as wire:
                await wire.send(data)
                await wire.read_all()

        async def counted() -> bool:
            samples = await scrape_samples(client.http)
            return all(fleet_value(samples, NAME, reason=reason) == 1 for reason in sent)

        await eventually_async(counted, what="each is counted")
        async with Wire(process.url) as wire:
            await wire.send(sent["bad_request"])
            await wire.read_all()
        await asyncio.to_thread(process.stop)
        assert await totals(client.database) == {**dict.fromkeys(sent, 1), "bad_request": 2}


async def test_the_end_of_a_process_counts_those_since_its_last_heartbeat(engine: Engine, rows: Rows) -> None:
    registration = Registration(engine, 5, Reminder(""), tuple(KINDS.stored.values()))
    await registration.worker_no()
    bounded_connections.refused.clear()
    bounded_connections.refused["slow_reader"] += 3
    await registration.stop()
    assert await totals(rows) == {"slow_reader": 3}
    bounded_connections.refused.clear()


async def totals(database: Rows) -> dict[str, int]:
    return {row["reason"]: row["count"] for row in await database.fetch(COUNTED, CONNECTIONS_REFUSED.name)}


async def test_a_connection_that_gives_way_is_counted() -> None:
    before = Counter(bounded_connections.refused)
    async with bounded_server(connections=1) as server, Wire(server.url) as first, Wire(server.url):
        assert await first.read_all() == b""
    assert bounded_connections.refused - before == Counter(room_needed=1)


def test_every_reason_shows_before_it_happens() -> None:
    """A rate doesn't see the step from nothing to 1."""
    codes = {each.code for each in vars(refusals).values() if isinstance(each, Refusal)}
    sources = "".join(path.read_text() for path in Path(bounded_connections.__file__).parent.glob("*.py"))
    cut_off = set(re.findall(r'cut_off\("(\w+)"\)', sources))
    assert len(cut_off) == 3
    assert codes | cut_off | {"silent", "download_cut_off"} == REASONS
