"""Weak entity tags: whether a client's copy still says what we would say.

A tag is made of the whole answer, never of the facts that are thought to change it: what a batch's lease or a worker's
claim changes leaves no trace in the job's row.
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
"""What a route whose answer is `tagged` passes as `responses=`."""


def tagged(shown: BaseModel, if_none_match: str | None, *, untagged: Mapping[str, set[str]] | None = None) -> Response:
    """Answer with what is shown and its tag; with 304 and no body where the client has it already.

    A change of `untagged` members (names below a member's name) alone makes no other tag.
    """
    body = shown.model_dump_json(by_alias=True)
    text = shown.model_dump_json(by_alias=True, exclude=dict(untagged)) if untagged else body
    headers = {"ETag": weak_tag(text.encode()), "Cache-Control": "no-cache"}
    if is_current(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def weak_tag(body: bytes) -> str:
    """Return the tag of an answer: another one with any byte of it."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Tell whether an If-None-Match header names this tag, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or tag.removeprefix("W/") in named
