"""Downloads: a whole list as a file, in bounded memory, on connections of their own.

A file shows one moment, so its transaction stays open while it is sent. The number of downloads and the time that a
client may take for each page are bounded. While another one waits for a place, the slowest may take less time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from typing import Any, Protocol, Self

import structlog
from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from api.callers import check_again
from api.file_formats import FileFormat
from api.methods import is_head
from db.engine import UNAVAILABLE, Engine
from domain.errors import BreakwaterError, Overloaded

AT_ONCE = 4
PAGE_SECONDS = 30.0
SLOW_PAGE_SECONDS = 5.0
"""A client that has taken so long for a page gives way to a download that waits."""
IDLE_SECONDS = 60
"""How long a download's transaction may be idle: longer than a client may take for a page."""
PERMIT_DEADLINE_SECONDS = 5.0
RETRY_SECONDS = 5

log = structlog.stdlib.get_logger()


class Downloads:
    """Bounds concurrent downloads; their own `engine` has a connection for each.

    A client may take `page_seconds` for each page (some 256 KiB, unless one answer is larger).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        at_once: int = AT_ONCE,
        page_seconds: float = PAGE_SECONDS,
        permit_deadline_seconds: float = PERMIT_DEADLINE_SECONDS,
        slow_page_seconds: float = SLOW_PAGE_SECONDS,
    ) -> None:
        self.engine = engine
        self._clients: set[_Client] = set()
        self._slow_page_seconds = slow_page_seconds
        self._permits = asyncio.Semaphore(at_once)
        self._permit_deadline_seconds = permit_deadline_seconds
        self.page_seconds = page_seconds

    def by(self, engine_of: Callable[[Engine], Engine]) -> Self:
        """Return these downloads with another engine on the same pool; they share the permits."""
        others = copy(self)
        others.engine = engine_of(self.engine)
        return others

    @asynccontextmanager
    async def permit(self, client: "_Client") -> AsyncIterator[Engine]:
        """Lend the engine to a client's download; raise Overloaded if no running download ends or gives way in time."""
        try:
            async with asyncio.timeout(self._permit_deadline_seconds):
                await self._take_place()
        except TimeoutError:
            raise Overloaded(
                "As many downloads are under way as this process serves at once.", retry_after_seconds=RETRY_SECONDS
            ) from None
        self._clients.add(client)
        try:
            yield self.engine
        finally:
            self._clients.discard(client)
            self._permits.release()

    async def _take_place(self) -> None:
        """Wait for a place. Look meanwhile for a client that is slow, and have it give way."""
        while True:
            try:
                async with asyncio.timeout(self._slow_page_seconds / 5):
                    await self._permits.acquire()
                    return
            except TimeoutError:
                self._have_slowest_give_way()

    def _have_slowest_give_way(self) -> None:
        slowest = max(self._clients, key=_Client.seconds_of_page, default=None)
        if slowest is not None and slowest.seconds_of_page() > self._slow_page_seconds:
            slowest.give_way()


class Pages(Protocol):
    """The facts of a list, page by page."""

    async def following(self) -> Sequence[Any]:
        """Return the next page; empty at the end."""
        ...


class Download(Response):
    """All facts of a list that match, as a file; `opened` opens their pages, and `shown` makes a list's item of each.

    If a part couldn't be sent, or its client lost access, the connection is closed without the end of the body, so that
    a part never looks complete.
    """

    def __init__(
        self,
        downloads: Downloads,
        opened: Callable[[Engine], AbstractAsyncContextManager[Pages]],
        file_format: FileFormat,
        name: str,
        *,
        shown: Callable[[Any], Any],
    ) -> None:
        self.status_code = 200
        self.media_type = file_format.media_type
        self.background = None
        self.init_headers(
            {
                "Content-Disposition": f'attachment; filename="{name}.{file_format.ending}"',
                "Vary": "Accept",
            }
        )
        self._downloads = downloads
        self._opened = opened
        self._format = file_format
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file to a client that keeps reading. A failure before the first page is answered as a problem."""
        client = _Client(scope, receive, send, self._downloads.page_seconds)
        async with self._downloads.permit(client) as engine, self._opened(engine) as pages:
            page = await pages.following()
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            is_whole = is_head(scope) or await self._send(client, page, pages)
        if is_whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, client: "_Client", page: Sequence[Any], pages: Pages) -> bool:
        """Send the file from its first page on; return whether the client took all of it."""
        text = self._format.head
        while page or text:
            text += "".join(self._format.line(self._shown(fact)) for fact in page)
            if not await client.takes(text):
                return False
            text = ""
            page = await pages.following() if page else []
        return True


class _Client:
    """The client of a download, which may be slow or disconnect."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, page_seconds: float) -> None:
        self._request = Request(scope, receive)
        self._send = send
        self._page_seconds = page_seconds
        self._page_since: float | None = None
        self._deadline = asyncio.timeout(None)

    async def takes(self, text: str) -> bool:
        """Send a part of the file; return whether the client is connected, may have it, and took it in time."""
        if await self._request.is_disconnected():
            log.info("download_abandoned", reason="client_gone")
            return False
        try:
            await check_again(self._request.scope)
        except (BreakwaterError, *UNAVAILABLE) as error:
            log.info("download_abandoned", reason="access_ended", error=f"{type(error).__name__}: {error}")
            return False
        self._page_since = time.monotonic()
        try:
            async with asyncio.timeout(self._page_seconds) as self._deadline:
                await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        except TimeoutError:
            seconds = round(self.seconds_of_page(), 1)
            log.warning("download_abandoned", reason="client_slow", page_seconds=seconds)
            return False
        finally:
            self._page_since = None
        return True

    def seconds_of_page(self) -> float:
        """Return for how long the client has been taking a page."""
        return 0.0 if self._page_since is None else time.monotonic() - self._page_since

    def give_way(self) -> None:
        """Let the time for the page be over."""
        if self._page_since is not None and not self._deadline.expired():
            self._deadline.reschedule(0)
