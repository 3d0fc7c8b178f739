"""Weak entity tags, which show a client whether its copy is current.

A tag is a hash of the whole answer, not of selected facts: a batch's lease or a worker's claim
changes the answer without a trace in the job's row.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import Response
from pydantic import BaseModel

from api.headers import ETAG

IfNoneMatch = Annotated[str | None, Header(description="`ETag` of an earlier answer.")]
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": ETAG}},
    304: {"description": "Nothing has changed since the answer with this tag.", "headers": {"ETag": ETAG}},
}
"""`responses=` of a route whose answer is `tagged`."""


def tagged(shown: BaseModel, if_none_match: str | None, *, untagged: Mapping[str, set[str]] | None = None) -> Response:
    """Answer with `shown` and its tag, or with 304 and no body if the client's copy is current.

    A change of `untagged` members (names below a member's name) alone doesn't change the tag.
    """
    body = shown.model_dump_json(by_alias=True).encode()
    compared = shown.model_dump_json(by_alias=True, exclude=dict(untagged)).encode() if untagged else body
    headers = {"ETag": weak_tag(compared), "Cache-Control": "private, no-cache"}
    if is_current(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def weak_tag(body: bytes) -> str:
    """Return the tag of an answer, which changes with any byte of it."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Return whether an If-None-Match header names this tag, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or tag.removeprefix("W/") in named
