"""Clients of a server with small limits, which send and read as slowly as a test says."""

import asyncio
import http.client
import io
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

from api.client_limits import ClientLimits
from tests.support.raw_http import Answer
from tests.support.served_app import serve_app
from tests.support.small_app import SmallApp

CLOSED_WITHIN_SECONDS = 10


@dataclass(frozen=True)
class Bounded:
    """A small app served with limits."""

    app: SmallApp
    url: str
    limits: ClientLimits

    async def has_begun(self, count: int) -> bool:
        """Whether so many requests have begun."""
        return self.app.begun >= count


@asynccontextmanager
async def bounded_server(*, big_bytes: int = 0, **limits: Any) -> AsyncIterator[Bounded]:
    """Serve the small app with these limits."""
    app, given = SmallApp(big_bytes=big_bytes), ClientLimits(**limits)
    async with serve_app(app, given) as url:
        yield Bounded(app, url, given)


class Wire:
    """One connection, in the test's own loop; its socket takes little by itself if `buffer` is given."""

    def __init__(self, url: str, *, buffer: int | None = None) -> None:
        self._address = (urlsplit(url).hostname, urlsplit(url).port)
        self._buffer = buffer
        self._received = b""

    async def __aenter__(self) -> Self:
        self.socket = socket.socket()
        self.socket.settimeout(0)
        if self._buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        await asyncio.get_running_loop().sock_connect(self.socket, self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        """Send all of it; a server that has closed doesn't matter, since its answer is what counts."""
        with suppress(BrokenPipeError, ConnectionResetError):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, size: int = 65536) -> bytes:
        """Read some; nothing once the server has closed."""
        if self._received:
            received, self._received = self._received, b""
            return received
        try:
            return await asyncio.get_running_loop().sock_recv(self.socket, size)
        except ConnectionResetError:
            return b""

    async def read_all(self) -> bytes:
        """Read until the server closes, which has to be soon."""
        parts = []
        async with asyncio.timeout(CLOSED_WITHIN_SECONDS):
            while part := await self.read():
                parts.append(part)
        return b"".join(parts)

    async def answer(self) -> Answer:
        """Read the last answer of a connection that the server closes."""
        return parsed(await self.read_all())

    async def next_answer(self) -> Answer:
        """Read the next answer, whose length is told."""
        received = [await self.read()]
        async with asyncio.timeout(CLOSED_WITHIN_SECONDS):
            while (length := _length_of_answer(received)) is None or sum(map(len, received)) < length:
                received.append(await self.read())
                assert received[-1], received
        whole = b"".join(received)
        self._received = whole[length:]
        return parsed(whole[:length])


def parsed(received: bytes) -> Answer:
    """Return the first answer in these bytes."""
    response = http.client.HTTPResponse(cast("Any", _Received(received)))
    response.begin()
    return Answer(response.status, dict(response.headers.items()), response.read())


def passed(seconds: float) -> Callable[[], Awaitable[bool]]:
    """Whether so many seconds have passed since now; nothing else tells that something goes on."""
    began = time.monotonic()

    async def look() -> bool:
        return time.monotonic() - began > seconds

    return look


def _length_of_answer(received: list[bytes]) -> int | None:
    """Return the length of the answer that begins with these parts, None before its headers are here."""
    head, end, _ = b"".join(received[:4]).partition(b"\r\n\r\n")
    if not end:
        return None
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + len(end) + int(lengths[0].partition(b":")[2])


class _Received:
    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)
