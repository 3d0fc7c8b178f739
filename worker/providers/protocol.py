"""What a provider is to the worker: it answers one call, or says how that failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from domain.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One try of one cell. `attempt` counts from 1; `timeout_seconds` bounds the call."""

    job_no: int
    model_id: str
    region: str
    question: str
    parameters: Mapping[str, Any]
    timeout_seconds: float
    attempt: int


class Provider(Protocol):
    """Answers calls. One that doesn't `makes_calls` answers without waiting, so nothing limits it."""

    @property
    def name(self) -> str:
        """What executions show as `provider_used`."""
        ...

    @property
    def makes_calls(self) -> bool:
        """Whether answering waits for something outside."""
        ...

    async def answer(self, call: Call) -> Outcome:
        """Answer within the call's timeout; never raises but on cancellation."""
        ...
