"""GET /jobs and GET /jobs/{id}: the list, and a job with its spec and progress."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from api.dependencies import ONE_OF_EACH, Database, JobId, NoParameters, Tenant
from api.etags import is_current, weak_tag
from api.filters import Moment, NameFilter, canonical_region
from api.headers import ETAG
from api.paging import JOBS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.jobs import Job, JobList, JobSummary
from db.jobs import JobFilter, JobRead, list_jobs, read_job
from domain.spec import Kind
from domain.status import JobStatus

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)


class JobListParameters(PageParameters):
    """What a list of jobs is narrowed to; all of it must hold."""

    status: JobStatus | None = None
    kind: Kind | None = None
    name: NameFilter | None = Field(default=None, description="The whole name.")
    model: NameFilter | None = Field(default=None, description="The id of a model of the job.")
    region: NameFilter | None = Field(default=None, description="A region of the job, by name or alias.")
    created_after: Moment | None = Field(default=None, description="From this moment on; RFC 3339, else UTC.")
    created_before: Moment | None = Field(default=None, description="Before this moment; RFC 3339, else UTC.")


@router.get("/jobs", summary="List jobs", responses=problem_responses(422))
async def get_jobs(
    *,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[JobListParameters, Query()],
) -> JobList:
    """Return jobs, newest first."""
    wanted = JobFilter(
        status=parameters.status,
        kind=parameters.kind,
        name=parameters.name,
        model=parameters.model,
        region=canonical_region(parameters.region, request.app.state.registry),
        created_after=parameters.created_after,
        created_before=parameters.created_before,
    )
    key = parameters.key(JOBS)
    page = await list_jobs(database, tenant, wanted, before=key[0] if key else None, limit=parameters.limit)
    cursor = next_cursor(JOBS, page, lambda job: [job.job_no])
    link_next(request, response, cursor)
    return JobList(items=[JobSummary.of(job) for job in page.facts], next_cursor=cursor)


@router.get(
    "/jobs/{job_id}",
    summary="Show a job",
    response_model=Job,
    responses={
        200: {"headers": {"ETag": ETAG}},
        304: {"description": "Nothing has changed since the answer with this tag.", "headers": {"ETag": ETAG}},
        **problem_responses(404, 422),
    },
)
async def get_job(
    *,
    job_id: JobId,
    database: Database,
    tenant: Tenant,
    _: Annotated[NoParameters, Query()],
    if_none_match: Annotated[str | None, Header(description="`ETag` of an earlier answer.")] = None,
) -> Any:
    """Return a job with its spec as submitted and as it runs, and its progress of this moment."""
    job = await read_job(database, tenant, job_id)
    headers = {"ETag": _tag(job), "Cache-Control": "no-cache"}
    if is_current(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(Job.of(job).model_dump_json(by_alias=True), headers=headers, media_type="application/json")


def _tag(job: JobRead) -> str:
    """Return a tag of everything that can change in a job, but for the clock of its wait."""
    changing = (job.status, job.counts, job.last_event_no, job.times_seen, job.spec is None)
    return weak_tag(job.job_no, *changing, job.first_started_at, job.queued_before)
