"""Requests that the HTTP server refuses by itself, before any route: their answers as bytes."""

import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.client_limits import HEADER_BYTES
from api.problems import problem_response


class Refusal(NamedTuple):
    """Why a request is refused; its connection is closed."""

    status: int
    code: str
    detail: str


MALFORMED = Refusal(400, "bad_request", "The request can't be read: it isn't HTTP/1.1.")
TOO_SLOW = Refusal(
    408, "request_timeout", "The request didn't arrive in time: send its headers at once, and its body without a pause."
)
HEADERS_TOO_LARGE = Refusal(
    431,
    "header_section_too_large",
    f"A request's target and headers have at most {HEADER_BYTES} bytes in all, and so have the trailers of a body.",
)
FULL = Refusal(503, "too_many_connections", "All connections of this process are in use; try again.")
RETRY_SECONDS = 1


def rendered(refusal: Refusal, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the whole answer."""
    phrase = HTTPStatus(refusal.status).phrase
    request_id = secrets.token_hex(8)
    headers = {"Connection": "close", "X-Request-ID": request_id, "X-Content-Type-Options": "nosniff"}
    if refusal is FULL:
        headers["Retry-After"] = str(RETRY_SECONDS)
    answer = problem_response(
        request_id=request_id,
        status=refusal.status,
        title=phrase,
        detail=refusal.detail,
        code=refusal.code,
        headers=headers,
    )
    lines = [b"%s: %s\r\n" % header for header in (*default_headers, *answer.raw_headers)]
    return b"".join((STATUS_LINE[refusal.status], *lines, b"\r\n", bytes(answer.body)))
