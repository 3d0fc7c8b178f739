"""GET /jobs and GET /jobs/{id}: the list, and a job with its spec and progress."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.dependencies import ONE_OF_EACH, Database, JobId, NoParameters, Tenant
from api.etags import TAGGED, IfNoneMatch, tagged
from api.filters import Moment, NameFilter, canonical_region
from api.paging import JOBS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.jobs import Job, JobList, JobSummary
from db.import_progress import read_import
from db.jobs import JobFilter, list_jobs, read_job
from domain.spec import Kind
from domain.status import JobStatus

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)

CLOCK = {"queue": {"waited_seconds"}}
"""What of a job changes with every look, though nothing has happened."""


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
    "/jobs/{job_id}", summary="Show a job", response_model=Job, responses={**TAGGED, **problem_responses(404, 422)}
)
async def get_job(
    *,
    job_id: JobId,
    database: Database,
    tenant: Tenant,
    _: Annotated[NoParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return a job with its spec as submitted and as it runs, and its progress of this moment."""
    job = await read_job(database, tenant, job_id)
    import_ = await read_import(database, job.job_no) if job.kind == Kind.IMPORT else None
    return tagged(Job.of(job, import_), if_none_match, untagged=CLOCK)
