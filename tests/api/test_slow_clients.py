"""A client that is slow, silent, huge, or reads nothing is refused or cut off; nobody else is."""

import asyncio
import select
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import orjson
import pytest
from structlog.testing import capture_logs

from api import bounded_connections
from api.client_limits import HEADER_BYTES
from tests.support.bounded_server import Wire, bounded_server, passed
from tests.support.raw_http import request
from tests.support.waiting import eventually_async

ECHO = request("GET", "/echo")
HELD = request("GET", "/held")
BIG = request("GET", "/big")
HEAD = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = 0.4
"""A limit in seconds that a busy machine doesn't reach by itself."""


def fields(size: int) -> bytes:
    """Header fields of so many bytes in all."""
    return b"".join(b"X-Field-%06d: %s\r\n" % (n, b"v" * 84) for n in range(size // 102))


# Header sections

LARGE = {
    "many fields": HEAD + fields(HEADER_BYTES + 1000) + b"\r\n",
    "a value": HEAD + b"X: " + b"v" * HEADER_BYTES + b"\r\n\r\n",
    "a name": HEAD + b"X" * HEADER_BYTES + b": v\r\n\r\n",
    "the target": b"GET /echo?" + b"q" * HEADER_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "fields without an end": HEAD + fields(4 * HEADER_BYTES),
    "a value without an end": HEAD + b"X: " + b"v" * 4 * HEADER_BYTES,
    "a name without an end": HEAD + b"X" * 4 * HEADER_BYTES,
    "a target without an end": b"GET /echo?" + b"q" * 4 * HEADER_BYTES,
    "trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + fields(4 * HEADER_BYTES),
    "a trailer": CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"v" * 4 * HEADER_BYTES,
    "a chunk's extension": CHUNKED + b"1;x=" + b"v" * 4 * HEADER_BYTES,
    "empty lines": b"\r\n" * 2 * HEADER_BYTES,
}
FITS = {
    "many fields": HEAD + fields(HEADER_BYTES - 1000) + b"\r\n",
    "a value": HEAD + b"X: " + b"v" * (HEADER_BYTES - 1000) + b"\r\n\r\n",
    "a name": HEAD + b"X" * (HEADER_BYTES - 1000) + b": v\r\n\r\n",
    "the target": b"GET /echo?" + b"q" * (HEADER_BYTES - 1000) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + fields(HEADER_BYTES - 1000) + b"\r\n",
}


@pytest.mark.parametrize("sent", LARGE.values(), ids=LARGE)
async def test_a_larger_header_section_is_refused(sent: bytes) -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(sent)
        answer = await wire.answer()
    assert (answer.status, answer.code) == (431, "header_section_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert orjson.loads(answer.body)["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("sent", FITS.values(), ids=FITS)
async def test_a_header_section_that_fits_is_served(sent: bytes) -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(sent + sent)
        assert [(await wire.next_answer()).status for _ in range(2)] == [200, 200]


async def test_however_its_bytes_are_cut_the_same_header_sections_fit() -> None:
    head = FITS["many fields"]
    sent = request("POST", "/echo", b"b" * 300_000) + head + LARGE["many fields"]
    async with bounded_server() as server:
        for size in (1000, HEADER_BYTES - 1, HEADER_BYTES, len(sent)):
            async with Wire(server.url) as wire:
                for start in range(0, len(sent), size):
                    await wire.send(sent[start : start + size])
                answers = await wire.read_all()
            assert answers.count(b"HTTP/1.1 200 ") == 2, size
            assert answers.count(b"HTTP/1.1 431 ") <= 1, size


async def test_a_refused_client_may_go_on_sending_for_a_moment() -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(HEAD + b"X: " + b"v" * 100_000)
        await eventually_async(partial(has_something_to_read, wire))
        for _ in range(5):
            await asyncio.get_running_loop().sock_sendall(wire.socket, b"v" * 1000)  # an error, once it is reset
            await eventually_async(passed(0.05))
        assert (await wire.answer()).status == 431


async def test_a_refused_client_that_stays_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_connections, "LINGER_SECONDS", SHORT)
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(HEAD + b"X: " + b"v" * 100_000)
        assert (await wire.answer()).status == 431

        async def is_reset() -> bool:
            try:
                await asyncio.get_running_loop().sock_sendall(wire.socket, b"v")
            except ConnectionError:
                return True
            return False

        await eventually_async(is_reset)


async def has_something_to_read(wire: Wire) -> bool:
    return bool(select.select([wire.socket], [], [], 0)[0])


async def test_a_trailer_is_no_header() -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(HEAD + b"Transfer-Encoding: chunked\r\nTrailer: Idempotency-Key\r\n\r\n1\r\n")
        await eventually_async(lambda: server.has_begun(1))
        await wire.send(b"x\r\n0\r\nIdempotency-Key: k\r\nAuthorization: Bearer k\r\n\r\n")
        seen = orjson.loads((await wire.next_answer()).body)
    assert seen == {"bytes": 1, "headers": ["host", "transfer-encoding", "trailer"]}


async def test_a_request_that_came_before_is_answered_before_the_connection_is_closed() -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(HELD + LARGE["many fields"])
        await eventually_async(lambda: server.has_begun(1))
        server.app.release.set()
        received = await wire.read_all()
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 ") == 1


# Time


@pytest.mark.parametrize(
    "sent",
    [b"G", b"GET / HTTP/1.1\r\n", HEAD + b"X: ", HEAD + b"Content-Length: 2\r\n\r\n1", CHUNKED, CHUNKED + b"5\r\nabc"],
)
async def test_a_request_that_stops_is_refused(sent: bytes) -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(sent)
        answer = await wire.answer()
    assert (answer.status, answer.code) == (408, "request_timeout")


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (HEAD, b"X: y\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["head", "body", "chunks", "trailers"],
)
async def test_a_request_that_drips_is_refused(begin: bytes, drop: bytes) -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(begin)
        reading = asyncio.ensure_future(wire.answer())

        async def is_refused() -> bool:
            await wire.send(drop)
            return reading.done()

        await eventually_async(is_refused)
        assert (await reading).status == 408


async def test_a_body_that_keeps_its_pace_may_take_longer() -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        body = b"b" * 65_536
        await wire.send(request("POST", "/echo", body)[:-1])
        await eventually_async(passed(3 * SHORT))
        await wire.send(body[-1:])
        assert orjson.loads((await wire.next_answer()).body)["bytes"] == len(body)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_client_that_says_nothing_is_told_nothing(sent: bytes) -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(sent)
        assert await wire.read_all() == b""


async def test_a_request_in_work_takes_as_long_as_it_takes() -> None:
    async with bounded_server(receive_seconds=SHORT, send_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(HELD)
        await eventually_async(passed(4 * SHORT))
        server.app.release.set()
        assert (await wire.next_answer()).status == 200


async def test_a_client_that_waits_to_be_asked_for_its_body_is_not_late() -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        await eventually_async(passed(4 * SHORT))
        server.app.release.set()
        assert (await wire.read(25)).startswith(b"HTTP/1.1 100 ")
        await wire.send(b"x")
        assert (await wire.next_answer()).status == 200


async def test_a_body_that_the_service_does_not_read_yet_is_not_late() -> None:
    body = b"b" * 200_000
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        sending = asyncio.ensure_future(wire.send(request("POST", "/held", body)))
        await eventually_async(passed(4 * SHORT))
        server.app.release.set()
        await sending
        assert orjson.loads((await wire.next_answer()).body)["bytes"] == len(body)


async def test_a_body_that_nobody_reads_has_to_end() -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        await wire.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000)
        assert (await wire.next_answer()).status == 200
        reading = asyncio.ensure_future(wire.read_all())

        async def is_closed() -> bool:
            await wire.send(b"x" * 10_000)
            return reading.done()

        await eventually_async(is_closed)
        assert await reading == b""


async def test_an_idle_connection_outlives_the_time_of_a_request() -> None:
    async with bounded_server(receive_seconds=SHORT) as server, Wire(server.url) as wire:
        for _ in range(2):
            await wire.send(ECHO)
            assert (await wire.next_answer()).status == 200
            await eventually_async(passed(3 * SHORT))


# Clients that don't read


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async with bounded_server(send_seconds=SHORT, big_bytes=2**24) as server, Wire(server.url, buffer=4096) as wire:
        with capture_logs() as logs:
            await wire.send(BIG)
            await eventually_async(partial(has_logged, logs))
        assert [(line["event"], line["reason"]) for line in logs] == [("connection_cut_off", "slow_reader")]
        assert len(await wire.read_all()) < 2**24


async def test_a_client_that_reads_in_drips_is_cut_off() -> None:
    size = 2**16
    async with bounded_server(send_seconds=2 * SHORT, big_bytes=size) as server, Wire(server.url, buffer=4096) as wire:
        with capture_logs() as logs:
            await wire.send(BIG)
            received = 0
            while not logs and received < size:
                is_next = passed(SHORT / 2)
                received += len(await wire.read(2000))
                await eventually_async(is_next)
        assert [(line["event"], line["reason"]) for line in logs] == [("connection_cut_off", "slow_reader")]


async def test_a_client_that_reads_slowly_gets_all() -> None:
    size = 2**23
    async with bounded_server(send_seconds=SHORT, big_bytes=size) as server, Wire(server.url, buffer=4096) as wire:
        await wire.send(BIG)
        received = 0
        for _ in range(20):
            is_next = passed(SHORT / 10)
            received += await take(wire, size // 40)
            await eventually_async(is_next)
        received += await take(wire, size - received)
        assert received >= size


async def test_a_client_that_reads_nothing_gives_up_memory_that_another_one_needs() -> None:
    size = 2**24
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bounded_server(big_bytes=size, unsent_bytes=2 * size + 2**20))
        wires = [await stack.enter_async_context(Wire(server.url, buffer=4096)) for _ in range(3)]
        with capture_logs() as logs:
            for count, wire in enumerate(wires, 1):
                await wire.send(BIG)
                await eventually_async(partial(server.has_begun, count))
            await eventually_async(partial(has_logged, logs))
        assert [line["reason"] for line in logs] == ["memory_needed"]
        assert len((await wires[2].next_answer()).body) == size
        received = [await take(wire, size) for wire in wires[:2]]
        assert [count >= size for count in received].count(True) == 1


async def test_many_clients_that_read_nothing_do_not_cost_one_that_reads() -> None:
    """It reads 4 MiB a second, in lumps; ten that read nothing come meanwhile in each second."""
    size, lump = 2**24, 2**21
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bounded_server(big_bytes=size, unsent_bytes=2 * size + 2**20))
        good = await stack.enter_async_context(Wire(server.url, buffer=2**16))
        await good.send(BIG)
        received = 0
        with capture_logs() as logs:
            while received < size:
                received += (part := await take(good, min(lump, size - received)))
                assert part, logs
                is_next = passed(0.5)
                while not await is_next():
                    stalled = await stack.enter_async_context(Wire(server.url, buffer=4096))
                    await stalled.send(BIG)
                    await eventually_async(passed(0.1))
        assert [line["reason"] for line in logs].count("memory_needed") > 10


async def test_the_tenant_with_most_unread_bytes_gives_up_memory() -> None:
    size = 2**24
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bounded_server(big_bytes=size, unsent_bytes=2 * size + 2**20))
        wires = []
        with capture_logs() as logs:
            for count, tenant_no in enumerate([2, 1, 1, 1, 1], 1):
                wires.append(wire := await stack.enter_async_context(Wire(server.url, buffer=4096)))
                await wire.send(BIG.replace(b"\r\n\r\n", b"\r\nX-Tenant: %d\r\n\r\n" % tenant_no))
                await eventually_async(partial(server.has_begun, count))
            await eventually_async(partial(has_logged, logs, 3), what="three are cut off")
        assert [line["reason"] for line in logs] == ["memory_needed"] * 3
        received = [await take(wire, size) >= size for wire in wires]
        assert received == [True, False, False, False, True]


# Connections in all


async def test_the_oldest_silent_connection_gives_way() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bounded_server(connections=4))
        held = await stack.enter_async_context(Wire(server.url))
        await held.send(HELD)
        await eventually_async(lambda: server.has_begun(1))
        idle = await stack.enter_async_context(Wire(server.url))
        await idle.send(ECHO)
        await idle.next_answer()
        silent = [await stack.enter_async_context(Wire(server.url)) for _ in range(2)]
        new = await stack.enter_async_context(Wire(server.url))
        await new.send(ECHO)
        assert (await new.next_answer()).status == 200
        assert await silent[0].read_all() == b""
        await idle.send(ECHO)
        await silent[1].send(ECHO)
        assert [(await wire.next_answer()).status for wire in (idle, silent[1])] == [200, 200]
        server.app.release.set()
        assert (await held.next_answer()).status == 200


async def test_a_body_that_is_still_to_come_gives_way() -> None:
    async with bounded_server(connections=1) as server, Wire(server.url) as slow:
        await slow.send(HEAD + b"Content-Length: 2\r\n\r\n1")
        await eventually_async(lambda: server.has_begun(1))
        async with Wire(server.url) as new:
            await new.send(ECHO)
            assert (await new.next_answer()).status == 200
            assert await slow.read_all() == b""


async def test_a_client_is_refused_where_all_connections_are_served() -> None:
    async with bounded_server(connections=2) as server, AsyncExitStack() as stack:
        served = [await stack.enter_async_context(Wire(server.url)) for _ in range(2)]
        for wire in served:
            await wire.send(HELD)
        await eventually_async(lambda: server.has_begun(2))
        async with Wire(server.url) as refused:
            answer = await refused.answer()
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_connections", "1")
        server.app.release.set()
        assert [(await wire.next_answer()).status for wire in served] == [200, 200]


async def has_logged(logs: Sequence[object], count: int = 1) -> bool:
    return len(logs) >= count


async def take(wire: Wire, size: int) -> int:
    """Read until so much was read, or the server closes; return how much it was."""
    received = 0
    async with asyncio.timeout(10):
        while received < size and (part := await wire.read()):
            received += len(part)
    return received
