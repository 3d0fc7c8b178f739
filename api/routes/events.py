"""GET /events, /jobs/{id}/events and /submissions: the events of all jobs or of one, and a job's submissions."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, JobId, NoParameters, ServicesDep, Tenant
from api.event_feed import FeedOfAll, FeedOfJob, read_events
from api.event_streams import CONTENT, EventStream, refuse_pages, wants_stream
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
from api.schemas.events import Event, EventList, EventOfAll, EventOfAllList, SubmissionEntry, SubmissionList
from db.engine import Engine
from db.events import BEFORE_ALL, EventPlace, EventRead, find_latest_place, list_events, list_submissions
from db.events import EventOfAll as EventOfAllRead
from domain.errors import ParameterError, ParametersRejected
from domain.scopes import Scope

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)

LATEST = "latest"
"""In place of a token: only what is committed from now on."""
EVENT_NO = re.compile(r"[0-9]{1,9}", re.ASCII)


class AllEventsParameters(NoParameters):
    """Which events are asked for."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    after: str | None = Field(
        default=None,
        max_length=MAX_CURSOR,
        description="`next_token` of the last answer, or the `token` of the last item that was read; "
        "left out to begin with the oldest event. `latest` begins behind all that can be read now.",
    )


LastEventId = Annotated[
    str | None,
    Header(max_length=MAX_CURSOR, description="Of a stream: the `id` of the last event that was read."),
]


async def _begin(database: Engine, after: str | None) -> EventPlace:
    """Return where `after` begins. Raises ParametersRejected for an invalid token."""
    return await find_latest_place(database) if after == LATEST else _place(after)


def _place(token: str | None, *, given_as: str = "after") -> EventPlace:
    """Return where reading goes on. Raises ParametersRejected for an invalid token."""
    if token is None:
        return BEFORE_ALL
    place = decode_place(token)
    if place is None:
        detail = f"`{given_as}` isn't the `token` of an item of this list; leave it out to begin with the oldest event."
        raise ParametersRejected([ParameterError(given_as, "token_invalid", detail)])
    return place


def _event_no(last_event_id: str | None) -> int:
    """Return the number of the last event that was read. Raises ParametersRejected for what is none."""
    if not last_event_id:
        return 0
    if not EVENT_NO.fullmatch(last_event_id):
        detail = "`Last-Event-ID` isn't the `id` of an event of a job: 1, 2, 3 and so on."
        raise ParametersRejected([ParameterError("Last-Event-ID", "token_invalid", detail)])
    return int(last_event_id)


@router.get(
    "/events",
    operation_id="list_events",
    summary="List or stream the events of all jobs",
    tags=["jobs"],
    response_model=EventOfAllList,
    responses={200: {"content": CONTENT}, **problem_responses(422)},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_all_events(
    *,
    request: Request,
    response: Response,
    services: ServicesDep,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[AllEventsParameters, Query()],
    last_event_id: LastEventId = None,
) -> Any:
    """Return the events after a token, oldest first, in one order for every reader.

    No event ever appears before one that was returned, and of a job they come in the order of their numbers: a reader
    that goes on from `next_token` misses none. While `has_more` is true more may be read at once, though there may be
    no items; else these are all that can be read yet. `GET /queue` says under `events` if committed ones wait for a
    transaction that is still open.

    With `Accept: text/event-stream`: the events after `Last-Event-ID` (or `after`) and then each as it is committed,
    without an end; an `id` is the item's `token`.
    """
    if wants_stream(request):
        refuse_pages(parameters.model_fields_set)
        resumed = _place(last_event_id, given_as="Last-Event-ID") if last_event_id else None
        place = resumed or await _begin(database, parameters.after)
        feed = FeedOfAll(database, tenant, place)
        return EventStream(services.event_streams, tenant, feed, shown=_item_of_all)
    response.headers["Vary"] = "Accept"
    found = await read_events(database, tenant, await _begin(database, parameters.after), limit=parameters.limit)
    return EventOfAllList.of(found)


@router.get(
    "/jobs/{job_id}/events",
    operation_id="list_job_events",
    summary="List or stream a job's events",
    response_model=EventList,
    responses={
        200: {"content": CONTENT},
        204: {"description": "A stream that is over: the job has ended, and its last event was read."},
        **problem_responses(404, 422),
    },
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_events(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    services: ServicesDep,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
    last_event_id: LastEventId = None,
) -> Any:
    """Return the job's timeline, oldest first; the history of a cell is shown by its execution.

    With `Accept: text/event-stream`: the events after `Last-Event-ID` and then each as it is committed; an `id` is the
    event's. The stream ends after the last event of a job that has ended. A retry begins the job anew: its events go on
    from the same numbers.
    """
    if wants_stream(request):
        refuse_pages(parameters.model_fields_set)
        feed = FeedOfJob(database, tenant, job_id, _event_no(last_event_id))
        return EventStream(services.event_streams, tenant, feed, shown=_item_of_job)
    response.headers["Vary"] = "Accept"
    page = await list_events(database, tenant, job_id, after=parameters.number(EVENTS) or 0, limit=parameters.limit)
    cursor = next_cursor(EVENTS, page, lambda event: [event.event_no])
    link_next(request, response, cursor)
    return EventList(items=[Event.of(event) for event in page.facts], next_cursor=cursor)


def _item_of_all(event: EventOfAllRead) -> tuple[str, str]:
    shown = EventOfAll.of(event)
    return shown.token, shown.model_dump_json()


def _item_of_job(event: EventRead) -> tuple[int, str]:
    return event.event_no, Event.of(event).model_dump_json()


@router.get(
    "/jobs/{job_id}/submissions",
    operation_id="list_submissions",
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
