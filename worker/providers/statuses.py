"""The HTTP status with the same meaning as an error in the body of an answer.

Providers behind gateways answer 200 and put the failure inside: as a number, as the name of a status, an exception or a
gRPC code, or in words. `refusals.py` decides the failure for the status.
"""

import re
from http import HTTPStatus

from worker.providers.answers import ErrorReport

OVERLOADED = 529
"""No registered status; Anthropic, and others after it, use it like 503."""

_NUMBER = re.compile(r"(?:http|status|code|error|_)*([45][0-9]{2})")
_STATUS_BY_NAME = (
    (OVERLOADED, r"overload"),
    (HTTPStatus.PAYMENT_REQUIRED, r"payment_required|insufficient_(balance|credit|fund)"),
    (
        HTTPStatus.TOO_MANY_REQUESTS,
        r"rate_?limit|too_many_requests|quota|throttl|resource_exhausted|tokens_per_minute|requests_per_minute",
    ),
    (
        HTTPStatus.SERVICE_UNAVAILABLE,
        r"unavailable|insufficient_system_resource|no_capacity|(server|engine|service)_busy|model_loading|loading_model",
    ),
    (HTTPStatus.GATEWAY_TIMEOUT, r"deadline_exceeded|timeout|timed_out"),
    (HTTPStatus.UNAUTHORIZED, r"unauthori[sz]ed|unauthenticated|authentication|(invalid|incorrect)_api_key"),
    (HTTPStatus.FORBIDDEN, r"forbidden|permission_(denied|error)|access_denied"),
    (HTTPStatus.NOT_FOUND, r"(model|engine|deployment|resource)_not_found|^not_found|unknown_model"),
    (
        HTTPStatus.BAD_REQUEST,
        (
            r"bad_request|unsupported_(model|param|value|media)|prompt_too_long|content_filter|content_policy|moderation"
            r"|(context_length|context_window|max_tokens)_exceeded|validation_error|unprocessable|failed_precondition"
            r"|out_of_range|invalid_(request|model|param|prompt|argument|value|type|input|image|message)"
        ),
    ),
)
_NUMBER_IN_WORDS = re.compile(r"(?:http|status|code)[ _:=/()\"']{1,4}([45][0-9]{2})\b", re.IGNORECASE)
_STATUS_BY_WORDS = (
    (HTTPStatus.TOO_MANY_REQUESTS, r"\b429\b|rate.?limit|too many requests|exceeded your current quota"),
    (HTTPStatus.PAYMENT_REQUIRED, r"insufficient (balance|credit|fund)|spend(ing)? limit|payment required"),
    (OVERLOADED, r"overloaded"),
    (
        HTTPStatus.SERVICE_UNAVAILABLE,
        r"(temporarily|service|currently) unavailable|capacity|model is (still )?loading|loading model|server busy",
    ),
    (HTTPStatus.NOT_FOUND, r"\bmodel\b.{0,100}\b(not found|does not exist|is not available)\b"),
)
"""Words are less reliable than codes: only those for a missing model end a cell."""


def status_of(error: ErrorReport) -> int:
    """Return the status with the same meaning as an error; 500 if the error doesn't show its kind.

    A code precedes words, and a number precedes a name, as in `{"code": 429, "type": "server_error"}`.
    """
    names = [_plain(code) for code in error.codes]
    numbers = [int(match[1]) for name in names if (match := _NUMBER.fullmatch(name))]
    if numbers:
        return numbers[0]
    for name in names:
        for status, pattern in _STATUS_BY_NAME:
            if re.search(pattern, name):
                return status
    return _status_of_words(error.text)


def _status_of_words(text: str) -> int:
    if match := _NUMBER_IN_WORDS.search(text):
        return int(match[1])
    for status, pattern in _STATUS_BY_WORDS:
        if re.search(pattern, text, re.IGNORECASE):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _plain(code: str) -> str:
    """Return a code as words joined by `_`: `RateLimitError`, `rate-limit error` and `RATE_LIMIT_ERROR` are one."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
