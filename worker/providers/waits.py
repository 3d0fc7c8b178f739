"""How long a provider asks to be left alone: what its headers say, in any of the forms in use, or else its words."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from worker.providers.answers import Answer

RETRY_AFTER_CAP_SECONDS = 3600.0
"""A circuit breaker that stays open for longer would hide a provider that came back."""

_SECONDS_BY_UNIT = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_AMOUNT = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_PART = re.compile(rf"({_AMOUNT})(ms|us|µs|ns|[dhms])")
_DURATION = re.compile(rf"(?:{_AMOUNT}(?:ms|us|µs|ns|[dhms]))+")
"""As Go prints a duration: `1s`, `6m0s`, `120ms`, `2m59.56s`."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_RESET_HEADER = re.compile(r"(?:x-|anthropic-)?(?:app-)?ratelimit.*reset.*")
_RATE_LIMIT_ITEM = re.compile(r"\b(?:r|remaining)=([0-9]+)\s*[;,]\s*(?:t|reset)=([0-9]+)")
"""One limit of the header `RateLimit`, in the form of either of its drafts."""
_WORDS = re.compile(
    rf"\b(?:try again|retry|wait)\s+(?:(?:in|after|for)\s+)?((?:{_AMOUNT}\s?(?:ms|[dhms]|milliseconds?|days?|hours?"
    r"|min(?:ute)?s?|sec(?:ond)?s?)(?![a-z])\s?)+)",
    re.IGNORECASE,
)
_WORDS_PART = re.compile(rf"({_AMOUNT})\s?(ms|milli|[dhms])", re.IGNORECASE)
_EPOCH_FROM = 1e9
"""A number from here on is a moment, seconds since 1970 or a finer unit; as a wait it would be 31 years."""
_EPOCH_BEFORE = 1e11


class _Reset(NamedTuple):
    seconds: float
    is_exhausted: bool


def retry_after_seconds(answer: Answer) -> float | None:
    """Return the seconds to wait that an answer's headers ask for, from 0 to an hour; None if they don't say.

    `retry-after-ms` goes before `Retry-After`, and both before the resets of rate limits. A moment is compared with the
    answer's own `Date` where there is one: the clocks of the two machines may differ.
    """
    milliseconds = answer.headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return _capped(float(milliseconds) / 1000)
    asked = _seconds(answer.headers.get("retry-after", ""), answer)
    return asked if asked is not None else _reset_seconds(answer)


def seconds_in_words(text: str) -> float | None:
    """Return the seconds that an error's words ask for, as in "Please try again in 6m0s"; None if they don't say."""
    found = _WORDS.search(text)
    if found is None:
        return None
    parts = _WORDS_PART.findall(found[1].lower())
    return _capped(sum(float(amount) * _SECONDS_BY_UNIT[unit.replace("milli", "ms")] for amount, unit in parts))


def _reset_seconds(answer: Answer) -> float | None:
    """Return when the limits that are used up are reset, the last of them.

    Every answer of some providers names their limits, so a limit that has something left is no reason to wait. A 429
    that names none as used up (so many tokens are left, only not enough) may be asked again at the first reset.
    """
    resets = [reset for reset in _resets(answer) if reset.seconds > 0]
    exhausted = [reset.seconds for reset in resets if reset.is_exhausted]
    if exhausted:
        return max(exhausted)
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    return min((reset.seconds for reset in resets), default=None)


def _resets(answer: Answer) -> Iterator[_Reset]:
    headers = answer.headers
    for remaining, seconds in _RATE_LIMIT_ITEM.findall(headers.get("ratelimit", "")):
        yield _Reset(_capped(float(seconds)), float(remaining) == 0)
    for name, value in headers.items():
        seconds_left = _seconds(value, answer) if _RESET_HEADER.fullmatch(name) else None
        if seconds_left is not None:
            yield _Reset(seconds_left, _is_zero(headers.get(name.replace("reset", "remaining"), "")))


def _is_zero(text: str) -> bool:
    return bool(re.fullmatch(r"\s*0+(?:\.0*)?\s*", text))


def _seconds(text: str, answer: Answer) -> float | None:
    """Return the wait that a header's value asks for: a number, a duration, a moment since 1970, or a date."""
    given = text.strip()
    if _NUMBER.fullmatch(given):
        number = float(given)
        return _capped(number) if number < _EPOCH_FROM else _until_epoch(number, answer)
    if _DURATION.fullmatch(given):
        return _capped(sum(float(amount) * _SECONDS_BY_UNIT[unit] for amount, unit in _PART.findall(given)))
    until = _date(given)
    return None if until is None else _capped((until - _asked_at(answer)).total_seconds())


def _until_epoch(number: float, answer: Answer) -> float:
    for per_second in (1, 1e3, 1e6, 1e9):
        if number / per_second < _EPOCH_BEFORE:
            return _capped(number / per_second - _asked_at(answer).timestamp())
    return RETRY_AFTER_CAP_SECONDS


def _capped(seconds: float) -> float:
    return RETRY_AFTER_CAP_SECONDS if math.isnan(seconds) else min(RETRY_AFTER_CAP_SECONDS, max(0.0, seconds))


def _asked_at(answer: Answer) -> datetime:
    return _date(answer.headers.get("date", "")) or answer.received_at


def _date(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text)
        except (ValueError, OverflowError):
            continue
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None
