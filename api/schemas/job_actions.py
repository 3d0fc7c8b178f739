"""The requests and answers of actions on jobs, cells and batches."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from api.actors import Because
from api.filters import NameFilter, refuse_nul
from db.cancelling import Cancelled
from db.kinds import Retried
from db.releasing import Released
from domain.status import JobStatus

UNKNOWN = (
    "Nothing that was asked about has failed, and nobody knows how the unknown executions ended: "
    "GET /jobs/{id}/executions?status=unknown lists them, POST /executions/{id}/resolve says what became of one."
)
DRY_RUN = "Answer as the POST would, and change nothing."


class RetryRequest(Because):
    """The failed cells, or batches of an import, that run again: those that match every member; without any, all."""

    region: NameFilter | None = Field(default=None, description="A region, by name or alias; not of an import.")
    model: NameFilter | None = Field(default=None, description="A model's id; not of an import.")
    error_code: NameFilter | None = Field(
        default=None,
        description="The code of the error that they failed with; of an import without batches, that it failed with.",
    )


class ResolveRequest(Because):
    """What a person found out about a cell that ended ambiguously."""

    status: Literal["completed", "failed"]
    output: Annotated[str, AfterValidator(refuse_nul)] | None = Field(
        default=None,
        validate_default=True,
        description="The answer, which may be empty; only and always with `completed`.",
    )

    @field_validator("output")
    @classmethod
    def _fits_status(cls, output: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("status") == "completed" and output is None:
            raise PydanticCustomError("output_missing", "Give the output of what completed")
        if info.data.get("status") == "failed" and output is not None:
            raise PydanticCustomError("output_misplaced", "What failed has no output; give a reason instead")
        return output


class CancelAnswer(BaseModel):
    """A job that has ended: by this request, or before it."""

    id: str
    status: JobStatus = Field(description="`cancelled`, unless the job had ended otherwise before.")
    cancelled: int = Field(description="How many executions this request ended; 0 if the job had ended before.")

    @classmethod
    def of(cls, job_id: str, cancelled: Cancelled) -> Self:
        """Return the result of a cancel."""
        return cls(id=job_id, status=JobStatus(cancelled.status), cancelled=cancelled.cells)


class RetryAnswer(BaseModel):
    """How many executions, or batches of an import, run again, of those that were asked about."""

    id: str = Field(description="The job's.")
    status: JobStatus = Field(
        description="The job's, after this; of a dry run, after the POST that it stands for. `queued`: an import that "
        "had failed before it had batches is coordinated anew."
    )
    retried: int = Field(description="Failed ones that run again; of a dry run, that would.")
    untouched: int = Field(description="The others: of a job, all that it plans; of an execution, itself.")
    unknown: int = Field(description="How many executions of the job are `unknown`: no retry touches these.")
    detail: str | None = Field(description="What to do, where nothing runs again and some are `unknown`.")

    @classmethod
    def of(cls, retried: Retried) -> Self:
        """Return the result of a retry."""
        return cls(
            id=retried.job_id,
            status=JobStatus(retried.status),
            retried=retried.retried,
            untouched=retried.untouched,
            unknown=retried.unknown,
            detail=UNKNOWN if retried.unknown and not retried.retried else None,
        )


class ReleaseAnswer(BaseModel):
    """Whether a lease was taken away; a batch that no worker holds has none."""

    released: bool
    held_by: str | None = Field(description="The worker that it was taken from.")

    @classmethod
    def of(cls, released: Released) -> Self:
        """Return the result of a release."""
        return cls(released=released.is_released, held_by=released.held_by)


RETRY_EXAMPLES: dict[str, Any] = {
    "everything": {"summary": "All that failed", "value": {}},
    "some": {
        "summary": "What failed in one region for one reason",
        "value": {"region": "EU", "error_code": "timeout", "reason": "The provider is back."},
    },
}
RESOLUTION_EXAMPLES: dict[str, Any] = {
    "completed": {"value": {"status": "completed", "output": "Paris.", "reason": "Found in the provider's log."}},
    "failed": {"value": {"status": "failed", "reason": "The provider never got it."}},
}
