"""What came back over HTTP, as values: the answer, its JSON, and the pieces of it that any provider may tell."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import httpx2
import orjson

from domain.notes import cut
from domain.outcome import Failed, storable


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its body in full; of one that isn't 2xx the body may be cut. `received_at` is by our clock."""

    status: int
    headers: httpx2.Headers
    body: bytes
    received_at: datetime

    @property
    def is_success(self) -> bool:
        """Whether the provider says it did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004


class Trouble(NamedTuple):
    """What a provider says went wrong: its code or type, as it spells them, its words, and who it asked in its turn."""

    codes: tuple[str, ...]
    text: str
    provider_used: str | None = None


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises ValueError for anything else.

    Leniently, since an answer is paid for: models are cut off in the middle of a character, which leaves a lone
    surrogate, and some servers write `NaN` among their figures.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)
        except RecursionError:
            raise ValueError("too deep") from None


def dig(value: Any, *path: Any) -> Any:
    """Return what stands at the path of names and positions in a JSON value, None if there is nothing."""
    for step in path:
        if not isinstance(value, dict | list):
            return None
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def label(value: Any) -> str | None:
    """Return a name that a provider tells, short and storable; None if it is none."""
    return cut(storable(value.strip())) if isinstance(value, str) and value.strip() else None


def usage(**members: Any) -> Mapping[str, float] | None:
    """Return the members that are finite numbers from 0, None if there are none."""
    numbers = {name: value for name, value in members.items() if _is_amount(value)}
    return numbers or None


def read_trouble(answer: Answer) -> Trouble:
    """Return what an answer says went wrong, in any of the usual shapes; its text as it is if it has none."""
    try:
        document = read_json(answer.body)
    except ValueError:
        return Trouble((), _one_line(answer.body.decode("utf-8", "replace")))
    return trouble_in(document)


def trouble_in(document: Any) -> Trouble:
    """Return what a JSON answer says went wrong.

    Known are `{"error": {"message", "code", "type"}}`, `{"error", "error_code"}`, `{"detail"}` and `{"message"}`.
    """
    error = dig(document, "error")
    holder = error if isinstance(error, dict) else document
    codes = (dig(holder, "code"), dig(holder, "type"), dig(document, "error_code"))
    words = (dig(error, "message"), error, dig(document, "detail"), dig(document, "message"), document)
    text = next(word for word in words if word or word is document)
    return Trouble(
        tuple(dict.fromkeys(str(code) for code in codes if isinstance(code, str | int) and code != "")),
        _one_line(text if isinstance(text, str) else json.dumps(text)),
        label(dig(document, "provider_used")),
    )


def bad_answer(detail: str, *, provider_used: str | None = None) -> Failed:
    """Return the failure of an answer that can't be read; asking again would only be paid for again."""
    return Failed("bad_answer", detail, retryable=False, provider_used=provider_used)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value < 2**53
