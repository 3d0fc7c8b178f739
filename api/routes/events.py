"""GET /events, /jobs/{id}/events and /submissions: the events of all jobs or of one, and a job's submissions."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, JobId, NoParameters, Tenant
from api.event_feed import read_events
from api.event_tokens import decode_place
from api.paging import (
    EVENTS,
    MAX_CURSOR,
    SUBMISSIONS,
    PageParameters,
    link_next,
    next_cursor,
)
from api.problems import problem_responses
from api.schemas.events import Event, EventList, EventOfAllList, SubmissionEntry, SubmissionList
from db.events import BEFORE_ALL, EventPlace, list_events, list_submissions
from domain.errors import ParameterError, ParametersRejected
from domain.scopes import Scope

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)


class AllEventsParameters(NoParameters):
    """Which events are asked for."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    after: str | None = Field(
        default=None,
        max_length=MAX_CURSOR,
        description="`next_token` of the last answer, or the `token` of the last item that was read; "
        "left out to begin with the oldest event.",
    )

    @property
    def place(self) -> EventPlace:
        """Where reading goes on. Raises ParametersRejected for an invalid token."""
        if self.after is None:
            return BEFORE_ALL
        place = decode_place(self.after)
        if place is None:
            detail = "`after` isn't the `token` of an item of this list; leave it out to begin with the oldest event."
            raise ParametersRejected([ParameterError("after", "token_invalid", detail)])
        return place


@router.get(
    "/events",
    summary="List the events of all jobs",
    tags=["jobs"],
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_all_events(
    *, database: Database, tenant: Tenant, parameters: Annotated[AllEventsParameters, Query()]
) -> EventOfAllList:
    """Return the events after a token, oldest first, in one order for every reader.

    No event ever appears before one that was returned, and of a job they come in the order of their numbers: whoever
    goes on from `next_token` misses none. While `has_more` is true more may be read at once, though there may be no
    items; else these are all that can be read yet. `GET /queue` says under `events` if committed ones wait for a
    transaction that is still open.
    """
    found = await read_events(database, tenant, parameters.place, limit=parameters.limit)
    return EventOfAllList.of(found)


@router.get(
    "/jobs/{job_id}/events",
    summary="List a job's events",
    responses=problem_responses(404, 422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_events(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> EventList:
    """Return the job's timeline, oldest first; a cell's own story is its execution."""
    page = await list_events(database, tenant, job_id, after=parameters.number(EVENTS) or 0, limit=parameters.limit)
    cursor = next_cursor(EVENTS, page, lambda event: [event.event_no])
    link_next(request, response, cursor)
    return EventList(items=[Event.of(event) for event in page.facts], next_cursor=cursor)


@router.get(
    "/jobs/{job_id}/submissions",
    summary="List a job's submissions",
    responses=problem_responses(404, 422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_submissions(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> SubmissionList:
    """Return every POST that was answered with this job, oldest first: caller, time, decision and reason."""
    page = await list_submissions(
        database, tenant, job_id, after=parameters.number(SUBMISSIONS) or 0, limit=parameters.limit
    )
    cursor = next_cursor(SUBMISSIONS, page, lambda submission: [submission.submission_no])
    link_next(request, response, cursor)
    return SubmissionList(items=[SubmissionEntry.of(submission) for submission in page.facts], next_cursor=cursor)
