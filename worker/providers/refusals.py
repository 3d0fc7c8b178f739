"""The failure that an unsuccessful answer means: retryable or not, with which key, and with a circuit breaker or not.

An error about the provider's state (a rate limit, overload, an unpaid bill) opens the circuit breaker and costs no try;
an error that may be about this call alone costs a try.
"""

import re
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple

import httpx2

from domain.outcome import NO_REPLY, End, Failed, Reply
from worker.providers.answers import Answer, ErrorReport, read_error
from worker.providers.statuses import status_of
from worker.providers.waits import retry_after_seconds, seconds_in_words

__all__ = ["failed", "failure_of", "retry_after_seconds"]

_BILLING_CODE = re.compile(
    r"billing|insufficient[_ -](quota|balance|credit|fund)|spend(ing)?[_ -]limit|payment[_ -]required", re.IGNORECASE
)
_BILLING_WORDS = re.compile(
    r"spend(ing)? limit|billing (cycle|limit|hard limit)|insufficient (balance|credit|funds)"
    r"|exceeded your current quota",
    re.IGNORECASE,
)
"""Phrases, since the message of an ordinary rate limit may link to a page about billing."""
_RATE_CODE = re.compile(
    r"429|.*(rate[_ -]?limit|too[_ -]?many[_ -]?requests|throttl|resource[_ -]?exhausted|slow[_ -]?down).*",
    re.IGNORECASE,
)
_OVERLOAD_CODE = re.compile(
    r"529|.*(overload|capacity[_ -]?exceeded|(at|no|out[_ -]?of)[_ -]?capacity).*", re.IGNORECASE
)
_UNAVAILABLE_CODE = re.compile(
    r"503|(service|server|model|engine|provider)[_ -]?(temporarily[_ -]?)?(unavailable|busy)([_ -]?(error|exception))?",
    re.IGNORECASE,
)
_OVERLOAD_WORDS = re.compile(
    r"^\W*overloaded\b"
    r"|\b(is|are|currently|temporarily) (currently |temporarily )?(overloaded|unavailable|at capacity)\b"
    r"|\bno healthy upstream\b|\btoo many requests\b",
    re.IGNORECASE,
)
_TOO_LARGE_WORDS = re.compile(r"^\W*request too large\b|\btokens must be reduced\b", re.IGNORECASE)
"""A call that exceeds a limit by itself, which some providers refuse as if the limit were used up."""

_OVERLOADED = 529
_CAPACITY_EXCEEDED = 498
_CLIENT_CLOSED = 499
_REPEATABLE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, _CLIENT_CLOSED)
_SERVER_ERRORS = 500
_PROXY_ERRORS = frozenset({502, 504, *range(520, 528), 530})
"""The statuses of a proxy or CDN in place of the server behind it."""
_LOST_ANSWERS = frozenset({408, 499, 502, 504, 520, 522, 524, 527, 598, 599})
"""The statuses of a proxy that may have passed the call on, and got no usable answer: the provider may have worked.

RFC 9110 (15.6.3, 15.6.5) for 502 and 504; nginx for 499; Cloudflare for 520 to 527, of which the others say that there
was no connection; proxies of models answer 408 for a call that took too long.
"""
_NOT_PASSED_ON = re.compile(r"\bno (healthy|live) upstreams?\b", re.IGNORECASE)
_LOST_ANSWER_WORDS = re.compile(
    r"\breset before headers\b(?!.{0,60}\breset reason: (remote |local )?(connection (failure|timeout)|overflow)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""Envoy's words, which it answers with 503, unless the reason is that there was no connection."""


class _Meaning(NamedTuple):
    code: str
    is_retryable: bool
    trips_breaker: bool = False
    may_be_own: bool = False
    end: End = End.ANSWERED


def failure_of(answer: Answer) -> Failed:
    """Return the failure of an answer outside 2xx."""
    error = read_error(answer)
    return failed(answer.status, error, f"HTTP {answer.status}", retry_after=_asked_wait(answer, error))


def failure_within(
    answer: Answer, error: ErrorReport, *, said: str = "with an error", reply: Reply = NO_REPLY
) -> Failed:
    """Return the failure that a 2xx answer reports, as that of the status with the same meaning."""
    detail = f"HTTP {answer.status} {said}"
    outcome = failed(status_of(error), error, detail, retry_after=_asked_wait(answer, error))
    return replace(outcome, reply=reply)


def _asked_wait(answer: Answer, error: ErrorReport) -> float | None:
    """Return the seconds to wait, by an answer's headers, else by its body."""
    return retry_after_seconds(answer) or retry_after_seconds(replace(answer, headers=httpx2.Headers(error.headers)))


def failed(status: int, error: ErrorReport, said: str, *, retry_after: float | None) -> Failed:
    """Return the failure for an HTTP status and the provider's error; `said` begins the detail.

    `retry_after` is the wait in seconds of the headers. A wait of 0 counts as none: repeated at once, the call would be
    refused for ever.
    """
    seconds = retry_after or seconds_in_words(error.text) or None
    meaning = _classify(status, error, says_when=seconds is not None)
    return Failed(
        meaning.code,
        _detail(said, error),
        retryable=meaning.is_retryable,
        end=meaning.end,
        trips_breaker=meaning.trips_breaker,
        may_be_own=meaning.may_be_own,
        retry_after_seconds=seconds if meaning.is_retryable else None,
        provider_used=error.provider_used,
    )


def _classify(status: int, error: ErrorReport, *, says_when: bool) -> _Meaning:
    """Return the treatment of an error; docs/reference/providers.md has it as a table.

    A provider that honours the Idempotency-Key answers 409 while an earlier call with the key is running.
    """
    if _is_billing(status, error):
        return _Meaning("billing_limit", is_retryable=True, trips_breaker=True)
    if _is_too_large(status, error):
        return _Meaning("provider_refused", is_retryable=False)
    return _closed(status, error, says_when=says_when) or _of_one_call(status, error)


def _closed(status: int, error: ErrorReport, *, says_when: bool) -> _Meaning | None:
    """Return the treatment of an error about the provider's state; None if it is about the call."""
    if status == HTTPStatus.TOO_MANY_REQUESTS or _has_code(error, _RATE_CODE):
        return _Meaning("rate_limited", is_retryable=True, trips_breaker=True)
    if status in (_OVERLOADED, _CAPACITY_EXCEEDED) or _has_code(error, _OVERLOAD_CODE):
        return _Meaning("provider_unavailable", is_retryable=True, trips_breaker=True)
    is_server_error, end = status >= _SERVER_ERRORS, _end(status, error)
    has_words = is_server_error and bool(_OVERLOAD_WORDS.search(error.text))
    if status == HTTPStatus.SERVICE_UNAVAILABLE or _has_code(error, _UNAVAILABLE_CODE) or has_words:
        return _Meaning(
            "provider_unavailable", is_retryable=True, trips_breaker=True, may_be_own=not says_when, end=end
        )
    if status in _PROXY_ERRORS and says_when:
        return _Meaning("provider_unavailable", is_retryable=True, trips_breaker=True, end=end)
    return None


def _of_one_call(status: int, error: ErrorReport) -> _Meaning:
    match status:
        case HTTPStatus.CONFLICT:
            return _Meaning("call_in_flight", is_retryable=True, end=End.AMBIGUOUS)
        case _ if status >= _SERVER_ERRORS or status in _REPEATABLE:
            return _Meaning("provider_error", is_retryable=True, end=_end(status, error))
        case _ if status in range(300, 400):
            return _Meaning("provider_redirects", is_retryable=False)
        case _:
            return _Meaning("provider_refused", is_retryable=False)


def _end(status: int, error: ErrorReport) -> End:
    """Say whether the provider answered, or a proxy in front of it that may have lost the answer."""
    is_lost = {status, status_of(error)} & _LOST_ANSWERS or _LOST_ANSWER_WORDS.search(error.text)
    return End.AMBIGUOUS if is_lost and not _NOT_PASSED_ON.search(error.text) else End.ANSWERED


def _is_billing(status: int, error: ErrorReport) -> bool:
    """Say whether an account is out of money; its message counts only with the status "too many requests"."""
    if status == HTTPStatus.PAYMENT_REQUIRED or any(_BILLING_CODE.search(code) for code in error.codes):
        return True
    return status == HTTPStatus.TOO_MANY_REQUESTS and bool(_BILLING_WORDS.search(error.text))


def _is_too_large(status: int, error: ErrorReport) -> bool:
    """Say whether waiting can't help: any 413, and a rate limit that the call alone exceeds."""
    is_limit = status == HTTPStatus.TOO_MANY_REQUESTS or _has_code(error, _RATE_CODE)
    return status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (is_limit and bool(_TOO_LARGE_WORDS.search(error.text)))


def _has_code(error: ErrorReport, pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(code) for code in error.codes)


def _detail(said: str, error: ErrorReport) -> str:
    codes = f" ({', '.join(error.codes)})" if error.codes else ""
    return f"{said}{codes}: {error.text}" if error.text else f"{said}{codes}"
