"""Where a process has as many connections as it may, those give way that it can best do without, fairly by tenant."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from api import bounded_connections, room
from api.connections import MOST_PIPELINED
from tests.support.bounded_server import Wire, bounded_server, passed
from tests.support.raw_http import request
from tests.support.waiting import eventually_async

ECHO = request("GET", "/echo")
HELD = request("GET", "/held")
BIG = request("GET", "/big")
SILENT = b""
BIG_BYTES = 2**23
SHORT = 0.2
ESTABLISHED = "01"


def by(tenant: object, sent: bytes) -> bytes:
    """The request under a key of this tenant, or with no caller ("none")."""
    return sent.replace(b"\r\n\r\n", b"\r\nX-Tenant: %s\r\n\r\n" % str(tenant).encode())


def ends_of(wire: Wire) -> str:
    """The ends of a connection as the system writes them, from the server's side."""
    server, client = (address[1] for address in (wire.socket.getpeername(), wire.socket.getsockname()))
    return f":{server:04X} 0100007F:{client:04X} "


def is_open(ends: str) -> bool:
    """Whether the server has this connection open, as the system says: its client may have much of it to read."""
    return ends + ESTABLISHED in Path("/proc/net/tcp").read_text()


ACTION = by(1, request("POST", "/held"))
READ = by(1, HELD)
OF_ANOTHER = by(2, HELD)
ALL_ARE_NEEDED = {
    "actions": [ACTION] * 4,
    "an action before a read": [ACTION + READ] * 4,
    "nobody's": [HELD] * 4,
    "one of each tenant": [by(tenant, HELD) for tenant in range(4)],
}


async def test_a_read_gives_way_of_the_tenant_that_has_most_connections() -> None:
    async with bounded_server(connections=4) as server, AsyncExitStack() as stack:
        wires = []
        for sent in (OF_ANOTHER, READ, READ, ACTION):
            wires.append(await stack.enter_async_context(Wire(server.url)))
            await wires[-1].send(sent)
            await eventually_async(partial(server.has_begun, len(wires)))
        async with Wire(server.url) as new:
            await new.send(ECHO)
            assert (await new.next_answer()).status == 200
            assert await wires.pop(2).read_all() == b""
        server.app.release.set()
        assert [(await wire.next_answer()).status for wire in wires] == [200, 200, 200]


@pytest.mark.parametrize("requests", ALL_ARE_NEEDED.values(), ids=ALL_ARE_NEEDED)
async def test_no_other_request_in_work_gives_way(requests: Sequence[bytes]) -> None:
    async with bounded_server(connections=4) as server, AsyncExitStack() as stack:
        wires = []
        for sent in requests:
            wires.append(await stack.enter_async_context(Wire(server.url)))
            await wires[-1].send(sent)
            await eventually_async(partial(server.has_begun, len(wires)))
        async with Wire(server.url) as refused:
            assert (await refused.answer()).code == "too_many_connections"
        server.app.release.set()
        assert [(await wire.next_answer()).status for wire in wires] == [200] * 4


GIVES_WAY: dict[str, tuple[Sequence[bytes], int]] = {
    "the newest read of two tenants with half each": ([READ, READ, OF_ANOTHER, OF_ANOTHER], 3),
    "the newest read of three tenants": ([by(tenant, HELD) for tenant in (1, 2, 3, 3, 2, 1)], 5),
    "a read before others that wait in its pipeline": ([OF_ANOTHER, READ + READ, READ + ACTION, ACTION], 2),
    "an idle one of the tenant that has most": ([by(2, ECHO), ACTION, by(1, ECHO), by(1, ECHO), READ], 2),
    "a body of the tenant that has most": ([by(2, ECHO), by(1, ECHO + b"POST"), by(1, ECHO + b"POST"), READ, READ], 1),
    "an unread answer of the tenant that has most": ([by(2, ECHO), by(1, BIG), by(1, BIG), READ], 1),
    "a read behind an unread answer": ([by(2, ECHO), by(1, BIG) * 2, by(1, BIG) * 2, ACTION], 2),
    "no client that has just connected": ([READ, READ, READ, SILENT], 2),
    "no idle one of a tenant that has few": ([by(2, ECHO), ECHO, READ, READ, READ], 4),
}
STALE: dict[str, tuple[Sequence[bytes], int]] = {
    "nobody's idle one": ([by(1, ECHO), by(1, ECHO), by("none", ECHO), READ], 2),
    "nobody's unread answer": ([by(1, ECHO), by(1, ECHO), by("none", BIG), READ], 2),
    "an unread answer, though there are no tenants": ([HELD, BIG, BIG], 1),
    "an idle one before it": ([HELD, BIG, ECHO], 2),
}


async def gave_way(requests: Sequence[bytes]) -> list[int]:
    """Have one connection send each of these, which are as many as there may be, let another client be served, and
    return which of them are closed."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bounded_server(connections=len(requests), big_bytes=BIG_BYTES))
        all_ends, begun = [], 0
        for sent in requests:
            wire = await stack.enter_async_context(Wire(server.url, buffer=4096))
            all_ends.append(ends_of(wire))
            await wire.send(sent)
            begun += sent != SILENT
            await eventually_async(partial(server.has_begun, begun))
        new = await stack.enter_async_context(Wire(server.url))
        await new.send(ECHO)
        assert (await new.next_answer()).status == 200

        async def is_closed() -> bool:
            return not all(map(is_open, all_ends))

        await eventually_async(is_closed)
        return [number for number, ends in enumerate(all_ends) if not is_open(ends)]


@pytest.mark.parametrize(("requests", "closed"), GIVES_WAY.values(), ids=GIVES_WAY)
async def test_one_gives_way(requests: Sequence[bytes], closed: int) -> None:
    assert await gave_way(requests) == [closed]


@pytest.mark.parametrize(("requests", "closed"), STALE.values(), ids=STALE)
async def test_one_gives_way_after_a_moment(
    requests: Sequence[bytes], closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FRESH_SECONDS", 0.0)
    assert await gave_way(requests) == [closed]


async def test_many_newcomers_do_not_look_at_all_connections_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "AT_ONCE", 2)
    looked: list[int] = []

    class Counted(room.Standing):
        def __init__(self, connection: object) -> None:
            looked.append(1)
            super().__init__(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "Standing", Counted)
    async with bounded_server(connections=8) as server, AsyncExitStack() as stack:
        for _ in range(16):
            wire = await stack.enter_async_context(Wire(server.url))
            await wire.send(ECHO)
            assert (await wire.next_answer()).status == 200
    assert len(looked) == 2 * 8


# Pipelines


async def test_a_pipeline_has_a_bound_and_ends_with_its_answers() -> None:
    behind = MOST_PIPELINED + 1000
    async with bounded_server() as server, Wire(server.url) as wire:
        await wire.send(HELD + ECHO * behind)
        await eventually_async(partial(server.has_begun, 1))
        server.app.release.set()
        received = await wire.read_all()
    assert received.count(b"HTTP/1.1 200 ") == server.app.begun == 1 + MOST_PIPELINED


async def test_a_pipeline_up_to_the_bound_goes_on() -> None:
    async with bounded_server() as server, Wire(server.url) as wire:
        for _ in range(2):
            await wire.send(ECHO * (1 + MOST_PIPELINED))
            assert [(await wire.next_answer()).status for _ in range(1 + MOST_PIPELINED)] == [200] * 17


async def test_a_request_learns_that_its_client_left_though_others_wait_behind_it() -> None:
    async with bounded_server() as server:
        async with Wire(server.url) as wire:
            await wire.send(request("GET", "/stay") + ECHO)
            await eventually_async(partial(server.has_begun, 1))

        async def has_left() -> bool:
            return server.app.left == 1

        await eventually_async(has_left)


async def test_an_answer_before_a_refusal_is_sent_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_connections, "LINGER_SECONDS", SHORT)
    async with (
        bounded_server(receive_seconds=SHORT, big_bytes=BIG_BYTES) as server,
        Wire(server.url, buffer=4096) as wire,
    ):
        await wire.send(BIG + b"\0\r\n\r\n")
        await eventually_async(passed(4 * SHORT))
        assert len(await wire.read_all()) > BIG_BYTES
