"""How one try of a cell ended, and how long to wait before the next."""

from dataclasses import dataclass
from typing import TypeAlias

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Completed:
    """The provider answered; an empty answer is an answer. `region_served` is None where the provider doesn't say."""

    output: str
    region_served: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The try failed; a `retryable` one is repeated while the policy has attempts left."""

    code: str
    detail: str
    retryable: bool


Outcome: TypeAlias = Completed | Failed


def backoff_seconds(attempts: int, jitter: float) -> float:
    """Return the wait after `attempts` failed tries: exponential with full jitter, `jitter` drawn from [0, 1)."""
    return jitter * min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempts, 16))


def storable(text: str) -> str:
    """Return the text with what a database can't hold, NUL and lone surrogates, replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
