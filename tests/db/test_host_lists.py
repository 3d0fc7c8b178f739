"""A list of hosts: one that is silent, gone or of another kind costs its own limit, and the next one is asked."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from db.connecting import Dialer
from db.connection_info import read_connection_info
from db.engine import UNAVAILABLE, connect, create_engine
from tests.support.gateway import gateway_to


@asynccontextmanager
async def silent_host(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A host that takes connections and never answers."""
    kept = []
    server = await asyncio.start_server(lambda _, writer: kept.append(writer), address, port)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in kept:
            writer.transport.abort()


@contextmanager
def black_hole() -> Iterator[str]:
    """A host that doesn't even take connections: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(2)]
        for client in waiting:
            client.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            client.connect_ex(listener.getsockname())
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for client in waiting:
                client.close()


def with_hosts(url: str, hosts: str, query: str = "") -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{hosts}", query=f"sslmode=disable{query}"))


def place_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


async def ask(url: str) -> int:
    engine = create_engine(url, size=1)
    try:
        async with connect(engine) as connection:
            found: int = await connection.fetchval("SELECT 1")
            return found
    finally:
        await engine.dispose()


async def open_quickly(url: str) -> None:
    """Open a session with a limit of half a second per address."""
    dialer = Dialer(read_connection_info(url), connect_seconds=0.5)
    (await dialer.open(settings={}, command_seconds=5)).terminate()


async def test_a_silent_first_host_costs_its_limit_and_the_second_one_serves(database_url: str) -> None:
    async with gateway_to(database_url) as gateway, silent_host() as silent:
        began = time.monotonic()
        assert await ask(with_hosts(gateway.url, f"{silent},{place_of(gateway.url)}")) == 1
        assert time.monotonic() - began > 2.9, "the silent host was asked first"


async def test_a_first_host_that_takes_no_connection_costs_its_limit_too(database_url: str) -> None:
    async with gateway_to(database_url) as gateway:
        with black_hole() as hole:
            await open_quickly(with_hosts(gateway.url, f"{hole},{place_of(gateway.url)}"))


async def test_a_host_that_was_silent_is_asked_last_for_a_while(database_url: str) -> None:
    async with gateway_to(database_url) as gateway, silent_host() as silent:
        url = with_hosts(gateway.url, f"{silent},{place_of(gateway.url)}")
        dialer = Dialer(read_connection_info(url), connect_seconds=1)
        took = []
        for _ in range(2):
            began = time.monotonic()
            (await dialer.open(settings={}, command_seconds=5)).terminate()
            took.append(time.monotonic() - began)
        assert took[1] < 1 <= took[0]


async def test_all_hosts_are_named_when_none_can_be_reached() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UNAVAILABLE) as error:
            await ask(f"postgresql://u:geheim@{nobody},nowhere.invalid:5433/d")
    assert nobody in str(error.value)
    assert "nowhere.invalid:5433" in str(error.value)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize("wanted", ["read-write", "primary", "prefer-standby", "any"])
async def test_the_first_host_of_the_kind_that_is_wanted_serves(database_url: str, wanted: str) -> None:
    async with gateway_to(database_url) as gateway:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            hosts = f"127.0.0.1:{closed.getsockname()[1]},{place_of(gateway.url)}"
            assert await ask(with_hosts(gateway.url, hosts, f"&target_session_attrs={wanted}")) == 1


@pytest.mark.parametrize("wanted", ["read-only", "standby"])
async def test_a_host_of_another_kind_than_is_wanted_is_not_taken(database_url: str, wanted: str) -> None:
    async with gateway_to(database_url) as gateway:
        with pytest.raises(UNAVAILABLE, match="target"):
            await ask(with_hosts(gateway.url, place_of(gateway.url), f"&target_session_attrs={wanted}"))


async def test_a_host_name_that_stands_for_several_addresses_is_asked_at_each(database_url: str, monkeypatch) -> None:
    """Both addresses are loopback ones; the first is silent on the port of the second."""
    async with gateway_to(database_url) as gateway:
        port = int(place_of(gateway.url).rpartition(":")[2])
        loop = asyncio.get_running_loop()

        async def resolve(*_: object, **__: object) -> list[object]:
            kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
            return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

        async with silent_host("127.0.0.2", port):
            monkeypatch.setattr(loop, "getaddrinfo", resolve)
            await open_quickly(with_hosts(gateway.url, f"db.example:{port}"))
