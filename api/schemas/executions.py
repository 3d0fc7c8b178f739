"""Executions and their tries as they are shown."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from api.numbers import shown_execution_id
from api.paging import Listed
from db import executions as db
from domain.status import ExecutionStatus

_RESPONSE = (
    "All that the provider answered, as JSON: further choices, tool calls, log probabilities, thoughts. Of more than"
    ' 1 MiB `{"truncated": true, "bytes": n, "text": "…"}`; null without an answer in JSON, and of `echo`.'
)
_SERVED = "The region that the provider says it answered from."


class ExecutionError(BaseModel):
    """Why a try failed; `retryable` ones are repeated while the policy has attempts left."""

    code: str
    detail: str
    retryable: bool

    @classmethod
    def of(cls, failed: db.Execution | db.Attempt) -> Self | None:
        """Return the error of a cell or try that has one."""
        if failed.error_code is None:
            return None
        return cls(code=failed.error_code, detail=failed.error_detail or "", retryable=bool(failed.error_retryable))


class Execution(BaseModel):
    """One planned cell: a question to a model in a region. created <= queued <= started <= finished."""

    id: str = Field(description="Opaque.")
    job_id: str
    model_id: str
    region: str
    question_id: str
    status: ExecutionStatus = Field(description="`running`: without a result, in a batch that a worker holds.")
    attempts: int = Field(description="Tries that came to an end; giving up without a call is none.")
    provider: str = Field(description="Whom the spec names for the model.")
    provider_used: str | None = Field(description="Who was asked, or is being asked.")
    simulated: bool = Field(description="Whether the built-in `echo` answered in place of a provider.")
    region_served: str | None = Field(description=_SERVED)
    output: str | None
    output_empty: bool | None = Field(description="Whether the answer is the empty text; null without an answer.")
    usage: dict[str, Any] | None = Field(
        description="What the provider told of tokens, seconds and cost; null where it told nothing."
    )
    finish_reason: str | None = Field(
        description="Why the answer ended, in the provider's word; null where it said none."
    )
    is_complete: bool | None = Field(
        description="Whether the answer is whole: false if it was cut or filtered, or is a refusal. Null where the "
        "provider doesn't say, or gives a reason that isn't known here."
    )
    model_used: str | None = Field(description="Which model the provider says answered.")
    error: ExecutionError | None
    retry_at: datetime | None = Field(description="When a failed try may be repeated; null unless that is to come.")
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None = Field(
        description="Of the call that is out, once it takes half a second; then of the try that ended the cell."
    )
    finished_at: datetime | None

    @classmethod
    def of(cls, cell: db.Execution) -> Self:
        """Return the cell as it is shown."""
        return cls(**_members(cell))


class Attempt(BaseModel):
    """One try that came to an end."""

    attempt: int = Field(description="From 1.")
    status: ExecutionStatus = Field(description="What it made of the cell; `failed` also where it was repeated.")
    provider_used: str
    region_served: str | None = Field(description=_SERVED)
    started_at: datetime
    finished_at: datetime
    error: ExecutionError | None
    response: Any = Field(description=_RESPONSE)

    @classmethod
    def of(cls, tried: db.Attempt) -> Self:
        """Return the try as it is shown."""
        return cls(
            attempt=tried.attempt_no,
            status=ExecutionStatus(tried.status),
            provider_used=tried.provider_used,
            region_served=tried.region_served,
            started_at=tried.started_at,
            finished_at=tried.finished_at,
            error=ExecutionError.of(tried),
            response=tried.response,
        )


class ExecutionWithAttempts(Execution):
    """One planned cell with every try, oldest first."""

    response: Any = Field(description=f"Of the try that ended the cell. {_RESPONSE}")
    attempt_history: list[Attempt] = Field(description="As many as `attempts`.")

    @classmethod
    def with_attempts(cls, cell: db.Execution, tries: Any) -> Self:
        """Return the cell with its tries as it is shown."""
        history = [Attempt.of(tried) for tried in tries]
        response = next((tried.response for tried in tries if tried.ended_cell), None)
        return cls(**_members(cell), response=response, attempt_history=history)


class ExecutionList(Listed[Execution]):
    """Executions in plan order: by region, model and question, as the spec lists them."""


def _members(cell: db.Execution) -> dict[str, Any]:
    return {
        "id": shown_execution_id(cell.id),
        "job_id": cell.job_id,
        "model_id": cell.model_id,
        "region": cell.region,
        "question_id": cell.question_id,
        "status": ExecutionStatus(cell.status),
        "attempts": cell.attempts,
        "provider": cell.provider,
        "provider_used": cell.provider_used,
        "simulated": cell.simulated,
        "region_served": cell.region_served,
        "output": cell.output,
        "output_empty": None if cell.output is None else cell.output == "",
        "usage": cell.usage,
        "finish_reason": cell.finish_reason,
        "is_complete": cell.is_complete,
        "model_used": cell.model_used,
        "error": ExecutionError.of(cell),
        "retry_at": cell.retry_at,
        "created_at": cell.created_at,
        "queued_at": cell.queued_at,
        "started_at": cell.started_at,
        "finished_at": cell.finished_at,
    }
