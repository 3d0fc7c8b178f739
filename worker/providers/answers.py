"""HTTP answers as values, and the parts of their JSON that all dialects share: names, usage, errors."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2

from domain.notes import cut
from domain.outcome import NO_REPLY, Failed, Reply, storable
from worker.providers.documents import parse


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its whole body, which may be cut if it isn't 2xx. `received_at` is by our clock."""

    status: int
    headers: httpx2.Headers
    body: bytes
    received_at: datetime

    @property
    def is_success(self) -> bool:
        """Whether its status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004


class ErrorReport(NamedTuple):
    """A provider's error: its code or type in its spelling, its message, and the provider behind it.

    `headers` are headers within the error, and a header for a wait that the error states.
    """

    codes: tuple[str, ...]
    text: str
    provider_used: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})


_CODE_NAMES = ("code", "type", "status", "status_code", "statusCode", "http_status", "error_code")


def value_at(value: Any, *path: Any) -> Any:
    """Return the value at a path of names and positions in a JSON value; None if there is none."""
    for step in path:
        if not isinstance(value, dict | list):
            return None
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def label(value: Any) -> str | None:
    """Return a provider's name as short, storable text; None if it isn't text."""
    return cut(storable(value.strip())) if isinstance(value, str) and value.strip() else None


def usage(**members: Any) -> Mapping[str, float] | None:
    """Return the members that are finite numbers from 0 on; None if there are none."""
    numbers = {name: value for name, value in members.items() if _is_amount(value)}
    return numbers or None


def token_counts(given: Any) -> dict[str, Any]:
    """Return the token counts of an answer's `usage`, by our names.

    `cached_tokens` are prompt tokens read from a cache, `reasoning_tokens` completion tokens of reasoning. They stand
    in details (OpenAI, OpenRouter, vLLM), beside the others (DeepSeek, Moonshot, Anthropic), or nowhere.
    """
    return {
        "prompt_tokens": _first(given, ("prompt_tokens",), ("input_tokens",)),
        "completion_tokens": _first(given, ("completion_tokens",), ("output_tokens",)),
        "cached_tokens": _first(
            given,
            ("prompt_tokens_details", "cached_tokens"),
            ("input_tokens_details", "cached_tokens"),
            ("prompt_cache_hit_tokens",),
            ("cache_read_input_tokens",),
            ("cached_tokens",),
        ),
        "reasoning_tokens": _first(
            given,
            ("completion_tokens_details", "reasoning_tokens"),
            ("output_tokens_details", "reasoning_tokens"),
            ("reasoning_tokens",),
        ),
    }


def _first(value: Any, *paths: tuple[str, ...]) -> Any:
    return next((found for path in paths if (found := value_at(value, *path)) is not None), None)


def read_error(answer: Answer) -> ErrorReport:
    """Return an answer's error, in any of the known shapes; else its text."""
    try:
        document = parse(answer.body)
    except ValueError:
        return ErrorReport((), _one_line(answer.body.decode("utf-8", "replace")))
    return error_in(document)


def has_error(document: Any) -> bool:
    """Say whether a JSON answer, or a choice of it, reports an error.

    Empty members such as `"error": {"code": "", "message": ""}` report none.
    """
    unpacked = _unpacked(document)
    error = value_at(unpacked, "error")
    has_report = any(error.values()) if isinstance(error, dict) else bool(error)
    return (
        has_report
        or "error" in (value_at(unpacked, "object"), value_at(unpacked, "type"))
        or bool(value_at(unpacked, "base_resp", "status_code"))
    )


def error_in(document: Any) -> ErrorReport:
    """Return the error in a JSON answer.

    Known shapes are `{"error": {"message", "code", "type", "status", "metadata"}}`, also in a list (Gemini) or within
    another error, `{"error", "error_code"}`, `{"object": "error", "message", "type", "code"}` (vLLM), `{"detail"}`
    (FastAPI), `{"message"}`, `{"errors": [{"message", "code"}]}` (Cloudflare) and `{"base_resp"}` (MiniMax).
    """
    unpacked = _unpacked(document)
    error = value_at(unpacked, "error")
    first = value_at(unpacked, "errors", 0)
    holder = error if isinstance(error, dict) else unpacked
    codes = (
        *(value_at(holder, name) for name in _CODE_NAMES),
        *(
            value_at(within, name)
            for within in (value_at(error, "error"), value_at(error, "metadata"), first)
            for name in _CODE_NAMES
        ),
        value_at(unpacked, "error_code"),
        value_at(unpacked, "base_resp", "status_code"),
    )
    words = (
        value_at(error, "message"),
        value_at(error, "error", "message"),
        error,
        value_at(unpacked, "detail"),
        value_at(unpacked, "message"),
        value_at(first, "message"),
        value_at(unpacked, "base_resp", "status_msg"),
        unpacked,
    )
    text = next(word for word in words if word or word is unpacked)
    return ErrorReport(
        tuple(dict.fromkeys(str(code) for code in codes if _is_code(code))),
        _one_line(text if isinstance(text, str) else json.dumps(text)),
        label(value_at(unpacked, "provider_used")),
        _headers_within(holder),
    )


def _headers_within(error: Any) -> dict[str, str]:
    """Return the headers within an error (OpenRouter), and a header for a wait that it states in another way."""
    repeated = value_at(error, "metadata", "headers")
    headers = {name.lower(): value for name, value in repeated.items()} if isinstance(repeated, dict) else {}
    details = value_at(error, "details")  # Gemini's details, some of which are about other things
    waits = (
        value_at(error, "retry_after"),
        value_at(error, "metadata", "retry_after"),
        *(value_at(detail, "retryDelay") for detail in (details if isinstance(details, list) else ())),
    )
    for wait in (str(wait) for wait in waits if isinstance(wait, str | int | float)):
        headers.setdefault("retry-after", wait)
    return {name: text for name, text in headers.items() if isinstance(text, str) and f"{name}{text}".isascii()}


def _unpacked(document: Any) -> Any:
    return document[0] if isinstance(document, list) and document and isinstance(document[0], dict) else document


def _is_code(code: Any) -> bool:
    return isinstance(code, str | int) and not isinstance(code, bool) and code not in ("", "None")


def bad_answer(detail: str, *, provider_used: str | None = None, reply: Reply = NO_REPLY) -> Failed:
    """Return the failure of an answer that can't be read; a repeated call would only be paid for again."""
    return Failed("bad_answer", detail, retryable=False, provider_used=provider_used, reply=reply)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value < 2**53
