"""An ASGI app without stores, for tests of the server in front of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson

from api.callers import ANYBODY

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


class SmallApp:
    """Answers /echo with the headers it saw and the length of the body, /big with `big_bytes`.

    /held is answered once `release` is set, and reads its body only then; /unread never reads its body; /stay is served
    until its client leaves. A request is of the tenant in X-Tenant, or of no caller if that is "none". The number of
    requests that have begun is in `begun`, that of clients that left in `left`.
    """

    def __init__(self, *, big_bytes: int = 0) -> None:
        self.release = asyncio.Event()
        self.begun = 0
        self.left = 0
        self._big = b"x" * big_bytes

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.begun += 1
        tenants = [value.decode() for name, value in scope["headers"] if name == b"x-tenant"]
        if tenants != ["none"]:
            caller = replace(ANYBODY, tenant_no=int(tenants[0]), key_id="k") if tenants else ANYBODY
            scope["state"]["caller"] = caller
        if scope["path"] == "/held":
            await self.release.wait()
        if scope["path"] == "/stay":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left += 1
            return
        if scope["path"] == "/big":
            body = self._big
        elif scope["path"] == "/unread":
            body = b""
        elif (length := await _length_of_body(receive)) is None:
            return
        else:
            names = [name.decode() for name, _ in scope["headers"]]
            body = orjson.dumps({"bytes": length, "headers": names})
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _length_of_body(receive: Receive) -> int | None:
    """Read the body to its end; None if the client leaves."""
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        length += len(message["body"])
        if not message["more_body"]:
            return length
