"""The wait that a provider asks for, in its headers, in any form in use, or in its message."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from worker.providers.answers import Answer

RETRY_AFTER_CAP_SECONDS = 3600.0
"""The longest wait: a circuit breaker that is open for longer would hide a provider that has recovered."""

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
"""Numbers from here on are times, in seconds since 1970 or a finer unit; as a wait they would be 31 years."""
_EPOCH_BEFORE = 1e11


class _Reset(NamedTuple):
    seconds: float
    is_exhausted: bool


def retry_after_seconds(answer: Answer) -> float | None:
    """Return the seconds to wait by an answer's headers, from 0 to an hour; None without such a header.

    `retry-after-ms` precedes `Retry-After`, and both precede the resets of rate limits. A time is compared with the
    answer's own `Date` if there is one: the clocks of the two machines may differ.
    """
    milliseconds = answer.headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return _capped(float(milliseconds) / 1000)
    asked = _seconds(answer.headers.get("retry-after", ""), answer)
    return asked if asked is not None else _reset_seconds(answer)


def seconds_in_words(text: str) -> float | None:
    """Return the seconds to wait by an error's message, as in "Please try again in 6m0s"; None if it has none."""
    found = _WORDS.search(text)
    if found is None:
        return None
    parts = _WORDS_PART.findall(found[1].lower())
    return _capped(sum(float(amount) * _SECONDS_BY_UNIT[unit.replace("milli", "ms")] for amount, unit in parts))


def _reset_seconds(answer: Answer) -> float | None:
    """Return the seconds until the last exhausted limit is reset.

    Some providers name their limits in every answer, so a limit with a remainder is no reason to wait. After a 429
    without an exhausted limit (the remaining tokens don't suffice), the first reset counts.
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
    """Return the wait of a header's value: a number, a duration, a time since 1970, or a date."""
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
