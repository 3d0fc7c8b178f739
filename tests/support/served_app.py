"""An app that listens in the test's own process, and clients of it that read as slowly as they like."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import uvicorn

from api.client_limits import ClientLimits
from api.connections import Connection, limited
from tests.support.service import free_port
from tests.support.waiting import eventually_async

SMALL_BUFFER = 4096


@asynccontextmanager
async def serve_app(app: Any, limits: ClientLimits | None = None, *, port: int | None = None) -> AsyncIterator[str]:
    """Serve the app by real HTTP, at a free port unless one is given; its lifespan isn't run."""
    port = port or free_port()
    http = limited(limits) if limits else Connection
    # No client of a test is idle for so long: none sends on a connection that is being closed.
    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None, http=http, timeout_keep_alive=75)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())

    async def has_started() -> bool:
        return server.started

    await eventually_async(has_started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving


class SlowClient:
    """Asks for something and reads as much of the answer as a test says; its socket takes little by itself."""

    buffer = SMALL_BUFFER

    def __init__(self, url: str, path: str, **headers: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
        self._request = "\r\n".join([*lines, "", ""]).encode()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        self._socket.settimeout(0)
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(self._socket, self._request)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def read(self, size: int = SMALL_BUFFER) -> bytes:
        """Read some of the answer; nothing at its end."""
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    async def read_all(self) -> bytes:
        """Read on until the server closes the connection."""
        parts = []
        while part := await self.read(2**20):
            parts.append(part)
        return b"".join(parts)
