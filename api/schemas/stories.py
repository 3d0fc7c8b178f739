"""What happened to a job, and who submitted it."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.paging import Listed
from db.events import EventRead, SubmissionRead


class Event(BaseModel):
    """Something that happened to a job."""

    id: int = Field(description="From 1, without gaps.")
    type: str
    at: datetime
    source: str = Field(description="Who did it: a worker, or what triggered it.")
    data: dict[str, Any]

    @classmethod
    def of(cls, event: EventRead) -> Self:
        """Return the event as it is shown."""
        return cls(id=event.event_no, type=event.type, at=event.at, source=event.source, data=_shown(event.data))


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    """Return an event's data with ids of batches as the waves show them; stored they are numbers."""
    batches = data.get("batches")
    if not isinstance(batches, list):  # of other events it is their number
        return data
    return {**data, "batches": [{**batch, "batch_id": str(batch["batch_id"])} for batch in batches]}


class EventList(Listed[Event]):
    """A job's events, oldest first."""


class SubmissionEntry(BaseModel):
    """One POST that this job was the answer to."""

    id: int
    submitted_at: datetime
    outcome: Literal["created", "joined", "replayed", "rejected"]
    reason: str
    matched_on: str | None
    status_code: int
    idempotency_key: str | None
    client: str | None = Field(description="The address it came from.")
    user_agent: str | None
    request_id: str

    @classmethod
    def of(cls, submission: SubmissionRead) -> Self:
        """Return the submission as it is shown."""
        return cls.model_validate(
            {
                **{name: getattr(submission, name) for name in cls.model_fields if name != "id"},
                "id": submission.submission_no,
            }
        )


class SubmissionList(Listed[SubmissionEntry]):
    """A job's submissions, oldest first."""
