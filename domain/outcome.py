"""The outcome of one try of a cell, and the wait before the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from domain.completeness import Ending, is_whole
from domain.spec import Incomplete

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0
BREAKER_BASE_SECONDS = 0.25
BREAKER_CAP_SECONDS = 30.0
"""How long a circuit breaker is open if the provider doesn't say: doubled after each refused probe, up to the cap."""
BREAKER_LEAST_SECONDS = 1.0
"""The least time where the provider gives one: overloaded providers ask for milliseconds."""
OWN_REFUSALS = 30
"""Refusals that may be about one call alone and cost that call no try: some 12 minutes in which only it probes."""
MAX_FORGIVEN = 30_000
"""Tries after which no refusal is forgiven, since tries are counted in 16 bits: 8 hours at one a second."""
UNAVAILABLE_SECONDS = 300.0
"""An unavailable source says nothing about the request: within this time, a try that finds it unavailable doesn't
count."""
UNAVAILABLE_BASE_SECONDS = 1.0
UNAVAILABLE_CAP_SECONDS = 15.0
WORKER_LOST = "worker_lost"
CALL_INTERRUPTED = "call_interrupted"
INCOMPLETE_ANSWER = "incomplete_answer"
QUEUE_TIMEOUT = "queue_timeout"


class End(StrEnum):
    """How a failed call ended; this decides the next call's `Idempotency-Key`.

    The key changes only after an answer, so a provider that honours keys runs a call with an ambiguous end once.
    """

    NOT_SENT = "not_sent"
    AMBIGUOUS = "ambiguous"
    ANSWERED = "answered"


class KeptResponse(NamedTuple):
    """A provider's answer as JSON text, shortened if it was too large; `size` counts the bytes that came."""

    size: int
    json: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The facts of an answer beside its text.

    `ending` and `finish_reason` say why it ended, `model_used` which model answered; None where the provider doesn't
    say. `usage` holds its tokens, seconds and cost, `response` the whole answer.
    """

    finish_reason: str | None = None
    ending: Ending | None = None
    model_used: str | None = None
    usage: Mapping[str, Any] | None = None
    response: KeptResponse | None = None

    @property
    def is_complete(self) -> bool | None:
        """Whether the answer is whole; None where that is unknown."""
        return is_whole(self.ending)


NO_REPLY = Reply()


@dataclass(frozen=True, slots=True)
class Completed:
    """The provider answered; an empty answer is an answer.

    `region_served` is None where the provider doesn't say. `provider_used` is the provider that answered, where it
    stands behind the provider that was asked.
    """

    output: str
    region_served: str | None = None
    provider_used: str | None = None
    reply: Reply = NO_REPLY


@dataclass(frozen=True, slots=True)
class Failed:
    """The try failed; a `retryable` one is repeated while the policy has attempts left.

    A try that `trips_breaker` says that the provider takes no calls in this region for `retry_after_seconds` (None: it
    doesn't say how long); it doesn't count against the policy's attempts, or only after OWN_REFUSALS where it
    `may_be_own`: about this call and not about the provider. A try that doesn't trip it is repeated after those seconds
    at the earliest. `provider_used` as in Completed; `reply` holds the facts of an answer that counts as a failure.
    """

    code: str
    detail: str
    retryable: bool
    end: End = End.ANSWERED
    region_served: str | None = None
    provider_used: str | None = None
    trips_breaker: bool = False
    may_be_own: bool = False
    retry_after_seconds: float | None = None
    reply: Reply = NO_REPLY


Outcome: TypeAlias = Completed | Failed


def apply_incomplete_policy(outcome: Outcome, incomplete: Incomplete) -> Outcome:
    """Apply the policy `incomplete` to an outcome: an answer that isn't whole is kept, fails, or is repeated."""
    if incomplete is Incomplete.KEEP or isinstance(outcome, Failed) or outcome.reply.is_complete is not False:
        return outcome
    said = f" (finish_reason: {outcome.reply.finish_reason})" if outcome.reply.finish_reason else ""
    return Failed(
        INCOMPLETE_ANSWER,
        f"The answer is {outcome.reply.ending}{said}, and policy.incomplete is {incomplete}; `response` keeps it.",
        retryable=incomplete is Incomplete.RETRY,
        region_served=outcome.region_served,
        provider_used=outcome.provider_used,
        reply=outcome.reply,
    )


def backoff_seconds(attempts: int, jitter: float) -> float:
    """Return the wait after `attempts` failed tries: exponential with full jitter, `jitter` drawn from [0, 1)."""
    return jitter * min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempts, 16))


def is_forgiven(unavailable_seconds: float | None) -> bool:
    """Say whether a try doesn't count whose source was unavailable, `unavailable_seconds` after the first such try."""
    return (unavailable_seconds or 0.0) < UNAVAILABLE_SECONDS


def unavailable_backoff_seconds(unavailable_seconds: float | None, jitter: float) -> float:
    """Return the wait for an unavailable source: about the time since its first failure, bounded, half of it jitter."""
    return (1 + jitter) / 2 * min(UNAVAILABLE_CAP_SECONDS, UNAVAILABLE_BASE_SECONDS + (unavailable_seconds or 0.0))


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates, which the database can't hold, replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
