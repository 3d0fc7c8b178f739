"""A database that can be unavailable or silent: its clients go through a gateway of the test, which can be shut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest


class Gateway:
    """Passes bytes to a PostgreSQL server while it is open; shut, it ends every connection at once.

    Silent, it keeps every connection and takes new ones, and passes nothing on: those never hear anything again, also
    once it passes others on.
    """

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        given = {name: values[0] for name, values in parse_qs(self._parts.query).items()}
        self._host = given.get("host") or self._parts.hostname or "127.0.0.1"
        self._port = int(given.get("port") or self._parts.port or 5432)
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_open = True
        self._lost_before = 0
        self._count = 0
        self._is_silent = False
        self.refused = 0
        self.asked = 0
        """How often a client sent something."""
        self.url = ""

    @property
    def clients(self) -> int:
        """How many have connected so far."""
        return self._count

    def shut(self) -> None:
        """Be unavailable from now on."""
        self._is_open = False
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        """Be there again."""
        self._is_open = True

    def fall_silent(self) -> None:
        """Pass nothing on from now on, silently."""
        self._is_silent = True

    def heal(self) -> None:
        """Pass on what new connections say; those that there are stay silent."""
        self._is_silent = False
        self._lost_before = self._count

    async def serve(self) -> asyncio.Server:
        """Listen on a port of this machine, which `url` then names."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        netloc = f"{self._parts.username or ''}@127.0.0.1:{port}"
        self.url = urlunsplit(self._parts._replace(netloc=netloc, query="sslmode=disable"))
        return server

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            self.refused += 1
            writer.transport.abort()
            return
        number, self._count = self._count, self._count + 1
        there, back = await self._connect()
        self._writers |= {writer, back}

        def is_heard() -> bool:
            return not self._is_silent and number >= self._lost_before

        def is_asked() -> bool:
            self.asked += 1
            return is_heard()

        await asyncio.gather(_pump(reader, back, is_asked), _pump(there, writer, is_heard))
        self._writers -= {writer, back}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_heard: Callable[[], bool]) -> None:
    try:
        while content := await reader.read(65_536):
            if is_heard():
                writer.write(content)
                await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def gateway_to(database_url: str) -> AsyncIterator[Gateway]:
    """A gateway to a database, open at first."""
    gateway = Gateway(database_url)
    server = await gateway.serve()
    try:
        yield gateway
    finally:
        gateway.shut()
        server.close()


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    """A gateway to the test's own database."""
    async with gateway_to(database_url) as gateway:
        yield gateway
