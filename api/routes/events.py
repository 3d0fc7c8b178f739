"""GET /jobs/{id}/events and /submissions: the timeline of a job, and every request for it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import ONE_OF_EACH, Database, JobId, Tenant
from api.paging import EVENTS, SUBMISSIONS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.events import Event, EventList, SubmissionEntry, SubmissionList
from db.events import list_events, list_submissions

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)


@router.get("/jobs/{job_id}/events", summary="List a job's events", responses=problem_responses(404, 422))
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
    key = parameters.key(EVENTS)
    page = await list_events(database, tenant, job_id, after=key[0] if key else 0, limit=parameters.limit)
    cursor = next_cursor(EVENTS, page, lambda event: [event.event_no])
    link_next(request, response, cursor)
    return EventList(items=[Event.of(event) for event in page.facts], next_cursor=cursor)


@router.get("/jobs/{job_id}/submissions", summary="List a job's submissions", responses=problem_responses(404, 422))
async def get_submissions(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> SubmissionList:
    """Return every POST that this job was the answer to, oldest first: who, when, what became of it and why."""
    key = parameters.key(SUBMISSIONS)
    page = await list_submissions(database, tenant, job_id, after=key[0] if key else 0, limit=parameters.limit)
    cursor = next_cursor(SUBMISSIONS, page, lambda submission: [submission.submission_no])
    link_next(request, response, cursor)
    return SubmissionList(items=[SubmissionEntry.of(submission) for submission in page.facts], next_cursor=cursor)
