"""Events as a stream of server-sent events (`text/event-stream`), as they are committed.

Each has an `id`, with which a reader goes on after a break, and its JSON as `data`. There is no `event` field: with it
a browser delivers an event to listeners of its type alone, and types are added. The format:
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import structlog
from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from api.content_negotiation import preferred
from api.event_feed import EventSignal, Feed, follow
from api.methods import is_head
from api.yielding_places import Place, YieldingPlaces
from db.engine import UNAVAILABLE
from domain.errors import BreakwaterError, Overloaded, ParameterError, ParametersRejected

MEDIA_TYPE = "text/event-stream"
AT_ONCE = 200
"""Streams that a process serves at once: each looks at PostgreSQL once a second."""
OF_TENANT = 100
"""Those of them that one tenant may have where there are others."""
KEEP_ALIVE_SECONDS = 15.0
"""How often something is sent where nothing happens, so that proxies keep the connection."""
RETRY_MILLISECONDS = 1000
BUSY_SECONDS = 5
CONTENT: dict[str, Any] = {
    MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "Server-sent events as they are committed: `id` and, as `data`, an item of the list.",
        }
    }
}
"""How OpenAPI describes a stream."""

log = structlog.stdlib.get_logger()


class EventStreams:
    """Bounds the streams of a process, and if it `is_shared` those of each tenant. `signal` wakes them."""

    def __init__(
        self, signal: EventSignal, *, at_once: int = AT_ONCE, of_tenant: int = OF_TENANT, is_shared: bool = True
    ) -> None:
        self.signal = signal
        self._places = YieldingPlaces(at_once, of_tenant=of_tenant if is_shared else at_once)

    @asynccontextmanager
    async def place(self, tenant_no: int) -> AsyncIterator[Place]:
        """Hold one of the places, until it `is_given_up`; raise Overloaded where there is none.

        The reader of a stream that gives its place up connects again and misses nothing.
        """
        with self._places.place(tenant_no) as place:
            if place is None:
                raise Overloaded(
                    "As many streams of events are open as this process serves; close one, or read the JSON list.",
                    retry_after_seconds=BUSY_SECONDS,
                )
            yield place


class EventStream(Response):
    """The events of a `feed`, until it is over, the client leaves or may not read them any more, or the process stops.

    `shown` makes an item's id and JSON of each event. A stream that is over before it begins is a 204, which tells a
    browser not to connect again.
    """

    def __init__(
        self,
        streams: EventStreams,
        tenant_no: int,
        feed: Feed[Any],
        *,
        shown: Callable[[Any], tuple[str | int, str]],
    ) -> None:
        self.status_code = 200
        self.media_type = MEDIA_TYPE
        self.background = None
        # The last one keeps nginx from collecting events before it passes them on.
        self.init_headers({"Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"})
        self._streams = streams
        self._tenant_no = tenant_no
        self._feed = feed
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events to a client that stays. A failure before the first look is answered as a problem."""
        async with (
            self._streams.place(self._tenant_no) as place,
            aclosing(follow(self._feed, self._streams.signal)) as following,
        ):
            found = await anext(following)
            if self._feed.is_over and not found:
                await Response(status_code=204)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if not is_head(scope):
                await self._send(_Client(scope, receive, send, place), found, following)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(
        self, client: "_Client", found: Sequence[Any], following: AsyncGenerator[Sequence[Any], None]
    ) -> None:
        await client.send(f"retry: {RETRY_MILLISECONDS}\n\n" + self._text(found))
        try:
            async for events in following:
                if not await client.stays():
                    return
                await client.send(self._text(events))
        except (BreakwaterError, *UNAVAILABLE) as error:  # the client connects again, and is answered then
            log.info("event_stream_ended", error=f"{type(error).__name__}: {error}")

    def _text(self, events: Sequence[Any]) -> str:
        return "".join("id: {}\ndata: {}\n\n".format(*self._shown(event)) for event in events)


class _Client:
    """The client of a stream."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, place: Place) -> None:
        self._request = Request(scope, receive)
        self._send = send
        self._place = place
        self._sent_at = time.monotonic()

    async def stays(self) -> bool:
        """Return whether the client is there and is to be served. Raises as `Place.goes_on`."""
        return await self._place.goes_on(self._request)

    async def send(self, text: str) -> None:
        """Send this text, or a comment if there is none and nothing was sent for a while. Waits for a slow client."""
        now = time.monotonic()
        if not text and now - self._sent_at > KEEP_ALIVE_SECONDS:
            text = ": nothing new\n\n"
        if text:
            self._sent_at = now
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def wants_stream(request: Request) -> bool:
    """Return whether the Accept header prefers a stream to JSON, which is what every other value gets."""
    accept = ",".join(request.headers.getlist("Accept"))
    return preferred(accept, ("application/json", MEDIA_TYPE)) == MEDIA_TYPE


def refuse_pages(given: set[str]) -> None:
    """Raise ParametersRejected for parameters of pages, which a stream doesn't have."""
    pages = [name for name in ("limit", "cursor") if name in given]
    if pages:
        detail = "A stream has no pages: leave `{}` out, or accept application/json."
        raise ParametersRejected([ParameterError(name, "not_with_streams", detail.format(name)) for name in pages])
