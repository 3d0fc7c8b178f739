"""The interface of providers in a worker: answering a call, or returning its failure."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from domain.calls import Cell, idempotency_key, trace_id
from domain.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """A try of a cell. `attempt` counts from 1; `timeout_seconds` bounds the whole call."""

    cell: Cell
    planned_us: int
    key_no: int
    model_id: str
    region: str
    question: str
    parameters: Mapping[str, Any]
    timeout_seconds: float
    attempt: int

    @property
    def idempotency_key(self) -> str:
        """The call's `Idempotency-Key`."""
        return idempotency_key(self.cell, planned_us=self.planned_us, key_no=self.key_no)

    @property
    def trace_id(self) -> str:
        """The trace of the call's job."""
        return trace_id(self.cell.job_no, planned_us=self.planned_us)

    @property
    def given_parameters(self) -> dict[str, Any]:
        """The spec's parameters without nulls, which leave a parameter to the provider."""
        return {name: value for name, value in self.parameters.items() if value is not None}

    def new_traceparent(self) -> str:
        """Return the call's `traceparent`: the job's trace and a new span."""
        return f"00-{self.trace_id}-{secrets.token_hex(8)}-01"


class Provider(Protocol):
    """Answers calls. Without `makes_calls` it answers at once and needs no limit."""

    @property
    def name(self) -> str:
        """The name that executions show as `provider_used`."""
        ...

    @property
    def makes_calls(self) -> bool:
        """Whether answers take time outside of this process."""
        ...

    async def answer(self, call: Call) -> Outcome:
        """Answer within the call's timeout; raises only on cancellation."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
