"""One HTTP/1.1 connection as uvicorn serves it with httptools, with bounded header sections, and deaf to upgrades.

A server may ignore an offer of any protocol, and then reads the request as if it had not been made (RFC
9110, section 7.8). httptools treats everything behind the header section as the new protocol, so the body would be
lost. It also keeps a header section of any length, and adds trailers to the headers that a route sees. uvicorn's other
implementation, h11, does neither, at 86 µs of CPU for a request instead of 23 (2026-11-29).
"""

import httptools

from api.bounded_connections import BoundedConnection
from api.client_limits import BYTES_PER_SECOND, HEADER_BYTES, ClientLimits
from api.refusals import HEADERS_TOO_LARGE, MALFORMED
from api.unsent import CONNECTION

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
"""The headers that determine the end of a body."""
MOST_PIPELINED = 16
"""How many requests wait behind the one in work. What comes after them isn't read, and the connection ends with their
answers: the client repeats it on another one (RFC 9112, section 9.3.2). 64 KiB may hold 3,000 requests."""
_SEPARATORS = len(b": \r\n")
STOPPING = "is_stopping"
"""The member of a request's state that is true once the process is to stop: an answer without an end has to end."""


class HeaderSectionTooLarge(Exception):
    """A header section that is complete has more than HEADER_BYTES."""


class TooManyPipelined(Exception):
    """A request behind MOST_PIPELINED others that haven't begun."""


class Connection(BoundedConnection):
    """Reads the body of a request that offers to upgrade, and all requests after it, with a new parser.

    The new parser begins with a header section that holds only the body's framing. Lengths, chunks, trailers, errors
    and pipelined requests are then its work, as they are for any other request.
    """

    _is_framing = False
    """Whether the parser reads such a header section; the request's own headers were read before."""
    _part_bytes = 0
    """The length of what the parser is given at once."""
    _unread_bytes = 0
    """The parser was given so many bytes since it last reported something, or fewer by less than one part."""

    def data_received(self, data: bytes) -> None:
        """Read the received bytes, with a new parser after each offer.

        No part of them is longer than a header section may be, and the parser never keeps more than two parts.
        """
        self._unset_keepalive_if_required()
        if self.deadline is None:
            self.expect()
        for start in range(0, len(data), HEADER_BYTES):
            rest = data[start : start + HEADER_BYTES]
            while rest and not self.is_refused:
                rest = self._read(rest)

    def shutdown(self) -> None:
        """End as soon as the request in work is answered."""
        if self.is_answering:
            self.cycle.scope["state"][STOPPING] = True
        super().shutdown()

    def on_message_begin(self) -> None:
        """Begin a request, unless it has begun. Raises TooManyPipelined."""
        if not self._is_framing:
            if len(self.pipeline) >= MOST_PIPELINED:
                raise TooManyPipelined
            self.is_in_head = True
            self._unread_bytes = self._part_bytes
            self.expect()
            self.part_bytes = None
            super().on_message_begin()
            self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        if self.is_in_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the request. A trailer is none: what a header means was decided before the body."""
        if self.is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request; raise HeaderSectionTooLarge if it can't be served."""
        if not self.is_in_head:
            return
        if self._unread_bytes > HEADER_BYTES and self._header_bytes() > HEADER_BYTES:
            raise HeaderSectionTooLarge
        self._unread_bytes = 0
        super().on_headers_complete()
        self.is_in_head = False
        self.expect()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; the rest may take as much longer as this is long."""
        self._unread_bytes = 0
        super().on_body(body)
        if self.deadline is not None and not self.cycle.response_complete:
            self.deadline += len(body) / BYTES_PER_SECOND

    def on_message_complete(self) -> None:
        """End the request's body. After an offer the parser calls this too early: the body is still to be read."""
        if self.parser.should_upgrade():
            return
        self._unread_bytes = 0
        super().on_message_complete()
        # uvicorn waits for the next request since the answer, but not any more since the last part of the body.
        self.deadline = self.loop.time() + self.timeout_keep_alive if self.cycle.response_complete else None

    def _header_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + _SEPARATORS for name, value in self.headers)

    def _read(self, data: bytes) -> bytes:
        """Read as far as the header section of the next offer; return the bytes behind it."""
        self._part_bytes = len(data)
        self._unread_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._ignore_offer()
            return data[offer.args[0] :]
        except httptools.HttpParserError as error:
            match error.__context__:
                case TooManyPipelined():
                    self.end_after_answers()
                case HeaderSectionTooLarge():
                    self.refuse(HEADERS_TOO_LARGE)
                case _:
                    self.refuse(MALFORMED)
        else:
            if self._unread_bytes > 2 * HEADER_BYTES:
                self.refuse(HEADERS_TOO_LARGE)
        return b""

    def _ignore_offer(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(
            lenient_data_after_close=True
        )  # as uvicorn: a pipelined request is no error
        framing = [name + b": " + value + b"\r\n" for name, value in self.headers if name in _FRAMING]
        self._is_framing = True
        self.parser.feed_data(b"".join((b"POST / HTTP/1.1\r\n", *framing, b"\r\n")))
        self._is_framing = False


def limited(limits: ClientLimits) -> type[Connection]:
    """Return the class of connections with these limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
