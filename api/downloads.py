"""Downloads: a whole list as a file, in bounded memory, on connections of their own.

A file shows one moment, so its transaction stays open while it is sent. The number of downloads and the time that a
client may take for each page are bounded.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from api.callers import caller_of
from api.download_clients import DownloadClient
from api.download_places import DownloadPlaces
from api.file_formats import FileFormat
from api.methods import is_head
from db.engine import Engine

PAGE_SECONDS = 30.0
IDLE_SECONDS = 60
"""How long a download's transaction may be idle: longer than a client may take for a page."""


@dataclass(frozen=True, slots=True)
class Downloads:
    """The places for downloads, and the `engine` that has a connection for each.

    A client may take `page_seconds` for each page (some 256 KiB, unless one answer is larger).
    """

    engine: Engine
    places: DownloadPlaces
    page_seconds: float = PAGE_SECONDS


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
        downloads, places = self._downloads, self._downloads.places
        client = DownloadClient(
            scope,
            receive,
            send,
            tenant_no=caller_of(Request(scope)).tenant_no,
            page_seconds=downloads.page_seconds,
            pace_seconds=places.pace_seconds,
        )
        async with (
            places.place(client),
            self._opened(downloads.engine) as pages,
            aclosing(self._parts(pages)) as parts,
        ):
            part = await anext(parts, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while part and not is_head(scope):
                if not await client.takes(part):
                    return
                part = await anext(parts, b"")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _parts(self, pages: Pages) -> AsyncGenerator[bytes, None]:
        """Yield the file in parts, of a page each. No more of a page is kept while a slow client takes it."""
        text = self._format.head
        while page := await pages.following():
            text += "".join(self._format.line(self._shown(fact)) for fact in page)
            part, text, page = text.encode(), "", ()
            yield part
        if text:
            yield text.encode()
