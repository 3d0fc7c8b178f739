"""What an answer that isn't a success means for the cell: asked again or not, under which key, behind a gate or not."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from domain.outcome import End, Failed
from worker.providers.answers import Answer, Trouble, read_trouble

RETRY_AFTER_CAP_SECONDS = 3600.0
"""A gate that stays closed for longer would hide a provider that came back."""

_BILLING_CODE = re.compile(
    r"billing|insufficient[_ -](quota|balance|credit|fund)|spend(ing)?[_ -]limit|payment[_ -]required", re.IGNORECASE
)
_BILLING_WORDS = re.compile(
    r"spend(ing)? limit|billing (cycle|limit|hard limit)|insufficient (balance|credit|funds)"
    r"|exceeded your current quota",
    re.IGNORECASE,
)
"""Phrases, since the words of an ordinary rate limit may link to a page about billing."""
_REPEATABLE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)
_SERVER_ERRORS = 500


def refused(answer: Answer) -> Failed:
    """Return the failure that an answer outside 2xx is."""
    said = f"HTTP {answer.status}"
    return failed(answer.status, read_trouble(answer), said, retry_after=retry_after_seconds(answer))


def failed(status: int, trouble: Trouble, said: str, *, retry_after: float | None) -> Failed:
    """Return the failure for a status of HTTP and what the provider says about it; `said` begins the detail."""
    code, is_retryable, closes_gate = _classify(status, trouble, has_retry_after=retry_after is not None)
    return Failed(
        code,
        _detail(said, trouble),
        retryable=is_retryable,
        end=End.AMBIGUOUS if status == HTTPStatus.CONFLICT else End.ANSWERED,
        closes_gate=closes_gate,
        retry_after_seconds=retry_after if closes_gate else None,
        provider_used=trouble.provider_used,
    )


def retry_after_seconds(answer: Answer) -> float | None:
    """Return the seconds that `Retry-After` asks for, a number or a date, from 0 to an hour; None if it doesn't.

    A date is compared with the answer's own `Date` where there is one: the clocks of the two machines may differ.
    """
    given = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", given):
        return min(RETRY_AFTER_CAP_SECONDS, float(given))
    until = _date(given)
    if until is None:
        return None
    since = _date(answer.headers.get("date", "")) or answer.received_at
    return min(RETRY_AFTER_CAP_SECONDS, max(0.0, (until - since).total_seconds()))


def _classify(status: int, trouble: Trouble, *, has_retry_after: bool) -> tuple[str, bool, bool]:
    """Return (code, whether to ask again, whether to close the gate).

    409 is what a provider that honours the Idempotency-Key answers while an earlier call under it is still running.
    503 closes the gate only with `Retry-After`: then it speaks of the provider's state, else perhaps of this call.
    """
    match status:
        case _ if _is_billing(status, trouble):
            verdict = "billing_limit", True, True
        case HTTPStatus.TOO_MANY_REQUESTS:
            verdict = "rate_limited", True, has_retry_after
        case HTTPStatus.SERVICE_UNAVAILABLE if has_retry_after:
            verdict = "provider_unavailable", True, True
        case HTTPStatus.CONFLICT:
            verdict = "call_in_flight", True, False
        case _ if status >= _SERVER_ERRORS or status in _REPEATABLE:
            verdict = "provider_error", True, False
        case _ if status in range(300, 400):
            verdict = "provider_redirects", False, False
        case _:
            verdict = "provider_refused", False, False
    return verdict


def _is_billing(status: int, trouble: Trouble) -> bool:
    """Tell whether an account is out of money; the words count only where the status says "too many"."""
    if status == HTTPStatus.PAYMENT_REQUIRED or any(_BILLING_CODE.search(code) for code in trouble.codes):
        return True
    return status == HTTPStatus.TOO_MANY_REQUESTS and bool(_BILLING_WORDS.search(trouble.text))


def _detail(said: str, trouble: Trouble) -> str:
    codes = f" ({', '.join(trouble.codes)})" if trouble.codes else ""
    return f"{said}{codes}: {trouble.text}" if trouble.text else f"{said}{codes}"


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
