"""The built-in provider: answers with the question itself, optionally after a delay and with failures."""

import asyncio
from hashlib import blake2b

from domain.outcome import Completed, End, Failed, Outcome
from worker.providers.protocol import Call


class Echo:
    """Deterministic: the same cell and attempt always end the same way.

    It waits `delay_seconds` before each answer; `failure_rate` (0 to 1) is the share of tries that fail, retryably.
    """

    name = "echo"

    def __init__(self, *, delay_seconds: float = 0.0, failure_rate: float = 0.0) -> None:
        self._delay_seconds = delay_seconds
        self._failure_rate = failure_rate

    @property
    def makes_calls(self) -> bool:
        """Whether there is a delay."""
        return self._delay_seconds > 0

    async def answer(self, call: Call) -> Outcome:
        """Return the question, or a failure with the configured rate."""
        if self._delay_seconds:
            if self._delay_seconds > call.timeout_seconds:
                await asyncio.sleep(call.timeout_seconds)
                detail = f"No answer within {call.timeout_seconds:g} seconds."
                return Failed("timeout", detail, retryable=True, end=End.AMBIGUOUS)
            await asyncio.sleep(self._delay_seconds)
        if self._failure_rate and _draw(call) < self._failure_rate:
            return Failed("echo_failure", "The echo provider is configured to fail at this rate.", retryable=True)
        return Completed(f"{call.model_id} in {call.region}: {call.question}", region_served=call.region)

    async def aclose(self) -> None:
        """Hold nothing open."""


def _draw(call: Call) -> float:
    """Return a number in [0, 1) that depends only on the cell and the attempt."""
    text = f"{call.cell.job_no}\0{call.model_id}\0{call.region}\0{call.question}\0{call.attempt}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
