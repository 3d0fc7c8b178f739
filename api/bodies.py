"""Reading the body of a POST: JSON of bounded size, or a problem."""

import re
from typing import Any

import jiter
from fastapi import Request

from api.callers import check_again
from api.errors import BadRequest

MAX_BODY_BYTES = 1024 * 1024
KEY_HEADER = "Idempotency-Key"
KEY = re.compile(r'"(?P<quoted>[!#-~]{1,255})"|(?P<bare>[!#-~]{1,255})')
"""Visible ASCII, with or without quotes around all of it, so that a key has one spelling."""


async def read_json(request: Request) -> Any:
    """Return the parsed body. Raises BadRequest: 413 past 1 MiB, 415 if its headers don't say JSON, 400 if malformed.

    Duplicate keys, NaN and nesting too deep to parse are malformed.
    """
    _refuse_other_types(request)
    return _parse(await read_bounded(request))


async def read_optional_json(request: Request) -> Any:
    """Return the parsed body, an empty object if there is none. Raises BadRequest as `read_json` does."""
    body = await read_bounded(request)
    if not body:
        return {}
    _refuse_other_types(request)
    return _parse(body)


def _parse(body: bytes) -> Any:
    try:
        return jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise BadRequest(400, "malformed_json", f"The body isn't JSON that can be taken: {_reason(error)}.") from None


def read_idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, quoted or bare, or None. Raises BadRequest for several keys or a malformed one."""
    given = request.headers.getlist(KEY_HEADER)
    if not given:
        return None
    match = KEY.fullmatch(given[0].strip())
    if len(given) > 1 or match is None:
        detail = f"Send one {KEY_HEADER} of 1 to 255 visible ASCII characters, in double quotes or without any."
        raise BadRequest(400, "idempotency_key_malformed", detail, header=KEY_HEADER)
    return match["quoted"] or match["bare"]


def _refuse_other_types(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        detail = "Send the body as Content-Type: application/json."
        raise BadRequest(415, "unsupported_media_type", detail, header="Content-Type")
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        detail = "Send the body as it is, without a Content-Encoding."
        raise BadRequest(415, "unsupported_content_encoding", detail, header="Content-Encoding")


async def read_bounded(request: Request) -> bytes:
    """Return the body, read no further than the limit whatever the headers say.

    Raises BadRequest: 413, and refuses a caller that lost access meanwhile.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    await check_again(request.scope)
    return b"".join(chunks)


def _too_large() -> BadRequest:
    return BadRequest(413, "body_too_large", f"A body has at most {MAX_BODY_BYTES} bytes; split a job that needs more.")


def _reason(error: ValueError) -> str:
    """Return the parser's reason without a value of the body."""
    reason = str(error)
    if reason.startswith("Detected duplicate key"):
        return "a key is given twice" + reason[reason.rfind(" at line") :]
    return reason
