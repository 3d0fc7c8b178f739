"""The events of a job, and its submissions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.event_tokens import encode_end, encode_place
from api.numbers import shown, shown_data
from api.paging import Listed
from db.events import EventOfAll as EventOfAllRead
from db.events import EventRead, EventsRead, SubmissionRead
from domain.events import EVENT_TYPES_IN_WORDS
from domain.sealing import Numbered


class Event(BaseModel):
    """Something that happened to a job."""

    id: int = Field(description="From 1, without gaps.")
    type: str = Field(description=f"{EVENT_TYPES_IN_WORDS} More may come.")
    at: datetime
    source: str = Field(
        description="Who did it: a worker's id, what triggered it (`initial`, `fallback`, `retry`, `manual`), or of a "
        "request `key:` and the id of its API key, `oidc:` and the subject of its access token, or without "
        "authentication `api:` and the address it came from."
    )
    worker: str | None = Field(description="The source, where it is a worker; `/queue` shows those alive.")
    data: dict[str, Any] = Field(
        description="What there is to tell of such an event: the job's `status`, `batches` with the counts of each, "
        "the `reason` that a person gave."
    )

    @classmethod
    def of(cls, event: EventRead) -> Self:
        """Return the event as it is shown."""
        return cls(
            id=event.event_no,
            type=event.type,
            at=event.at,
            source=event.source,
            worker=event.worker,
            data=_with_batch_ids(shown_data(event.data)),
        )


def _with_batch_ids(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's data with the batch ids that waves show, in place of the stored numbers."""
    with_id = {**data, "batch_id": str(data["batch_id"])} if "batch_id" in data else {**data}
    batches = with_id.get("batches")
    if not isinstance(batches, list):  # in some events it counts batches
        return with_id
    return {
        **with_id,
        "batches": [_with_batch_ids(each) if isinstance(each, dict) else str(each) for each in batches],
    }


class EventOfAll(BaseModel):
    """Something that happened to one of all jobs."""

    token: str = Field(description="Where it stands among the events of all jobs; `after` goes on behind it.")
    job_id: str
    event_no: int = Field(description="The event's `id` in the list of its job: from 1, without gaps.")
    type: str = Field(description="As in the list of a job's events.")
    at: datetime
    source: str = Field(description="Who did it, as in the list of a job's events.")
    data: dict[str, Any]

    @classmethod
    def of(cls, event: EventOfAllRead) -> Self:
        """Return the event as it is shown."""
        return cls(
            token=encode_place(event.place),
            job_id=event.job_id,
            event_no=event.place.event_no,
            type=event.type,
            at=event.at,
            source=event.source,
            data=_with_batch_ids(shown_data(event.data)),
        )


class EventOfAllList(BaseModel):
    """The next events of all jobs, in the one order that every reader sees."""

    items: list[EventOfAll]
    next_token: str = Field(description="`after` of the next request, though there are no items.")
    has_more: bool = Field(
        description="Whether more may be read at once: an answer passes over other tenants' events for a bounded "
        "time. If not, ask again a second later."
    )

    @classmethod
    def of(cls, found: EventsRead) -> Self:
        """Return the events as they are shown."""
        return cls(
            items=[EventOfAll.of(event) for event in found.events],
            next_token=encode_end(found.place),
            has_more=found.has_more,
        )


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
    by: str | None = Field(
        default=None,
        exclude_if=lambda by: by is None,
        description="`key:` and the id of its API key, or `oidc:` and the subject of its access token; absent without.",
    )

    @classmethod
    def of(cls, submission: SubmissionRead) -> Self:
        """Return the submission as it is shown."""
        own = {name: getattr(submission, name) for name in cls.model_fields if name not in {"id", "by"}}
        return cls.model_validate(
            {**own, "id": shown(Numbered.SUBMISSION, submission.submission_no), "by": submission.submitted_by}
        )


class SubmissionList(Listed[SubmissionEntry]):
    """A job's submissions, oldest first."""
