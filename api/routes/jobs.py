"""POST /jobs, GET /jobs and GET /jobs/{id}: submitting, listing and showing jobs."""

from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from api.access import requires
from api.bodies import read_idempotency_key, read_json
from api.callers import caller_of, is_operator
from api.dedup_examples import CONFLICT_EXAMPLES, CREATED_EXAMPLES, JOINED_EXAMPLES
from api.dependencies import (
    ONE_OF_EACH,
    Allowed,
    Database,
    JobId,
    NoParameters,
    ServedKinds,
    ServicesDep,
    Tenant,
    engine_of,
    services_of,
    share_of,
)
from api.etags import TAGGED, IfNoneMatch, tagged
from api.headers import LOCATION
from api.job_filters import METADATA_KEY, JobFilterParameters, read_job_filter
from api.kinds import Kinds
from api.paging import JOBS, PageParameters, encode_key, link_next
from api.preferences import APPLIED, PREFER, PREFERENCE_APPLIED, applied, read_wait
from api.problems import MEDIA_TYPE, problem_responses
from api.rate_limits import tell
from api.request_ids import request_id_of
from api.schemas.jobs import Job, JobList, JobSummary
from api.schemas.submissions import SubmissionAnswer
from api.services import Services
from api.shown_specs import with_spec
from db.engine import Engine
from db.jobs import JobRead, list_jobs, read_job
from domain.registry import Registry
from domain.scopes import Scope
from submissions.responses import SubmissionResponse
from submissions.submission import Sender, Submission

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)

MAX_LEDGER_TEXT = 200
CONFLICTS: dict[str, Any] = {MEDIA_TYPE: {"examples": CONFLICT_EXAMPLES}}


class SubmitParameters(NoParameters):
    """How a spec is submitted."""

    dry_run: bool = Field(
        default=False,
        description="Answer as the POST would, count the rows that an import would read, and store nothing.",
    )


@router.post(
    "/jobs",
    operation_id="submit_job",
    summary="Submit a job",
    status_code=202,
    response_class=Response,
    responses={
        202: {
            "model": SubmissionAnswer,
            "description": "A new job.",
            "content": {"application/json": {"examples": CREATED_EXAMPLES}},
            "headers": {"Location": {**LOCATION, "required": True}, APPLIED: PREFERENCE_APPLIED},
        },
        200: {
            "model": SubmissionAnswer,
            "description": "Joined to a job that is the same, replayed under its Idempotency-Key, or a dry run.",
            "content": {"application/json": {"examples": JOINED_EXAMPLES}},
            "headers": {"Location": LOCATION, APPLIED: PREFERENCE_APPLIED},
        },
        **problem_responses(400, 409, 413, 415, 422),
        409: {"description": "What is in the way: `code` says which.", "content": CONFLICTS},
    },
    openapi_extra={
        "parameters": [PREFER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    # `api/describing.py` adds the schemas and examples of the kinds that are served.
                    "schema": {"oneOf": []},
                }
            },
        },
    },
    dependencies=[requires(Scope.JOBS_WRITE)],
)
async def submit_job(
    request: Request,
    tenant: Tenant,
    parameters: Annotated[SubmitParameters, Query()],
) -> Response:
    """Validate, normalize and dedup a spec; answer with the normalized spec and the reason for the decision.

    The job is committed before the 202 leaves. A spec without an `id` joins a job with the same content that is active,
    or `completed` or `partial` and ended a moment ago (`BREAKWATER_DEDUP_SECONDS`), unless `on_duplicate` says
    otherwise; never one that failed or was cancelled. `dedup.previous` names the last job of this content that isn't
    joined.

    With `Prefer: wait=N` the answer waits until the job has ended or N seconds are over; its `status` is that of then.
    A replay waits for nothing.
    """
    services = services_of(request)  # not by a parameter, which costs each POST 8 µs (2026-11-30)
    key = read_idempotency_key(request)
    body = await read_json(request)
    sender, caller = _sender(request), caller_of(request)
    limited_by = caller.limited_by
    if parameters.dry_run:
        submission = services.submissions.read(
            body, tenant=caller.tenant, tenant_no=tenant, sender=sender, key=key, limited_by=limited_by
        )
        response = await _preview(request, services, submission)
    else:
        request.state.is_in_ledger = True  # if it is refused from here on
        response = await services.submissions.submit(
            body, tenant=caller.tenant, tenant_no=tenant, sender=sender, key=key, limited_by=limited_by
        )
    tell(request, response.quotas)
    headers = {"Idempotent-Replayed": "true"} if response.is_replayed else {}
    seconds = read_wait(request.headers.getlist("prefer"))
    if seconds is not None and not (response.is_replayed or parameters.dry_run):
        database = engine_of(request, services.engine, services.shares)
        response, is_applied = await services.job_waits.wait_for_submitted(
            request, database, response, tenant_no=tenant, seconds=seconds
        )
        headers |= applied(seconds) if is_applied else {}
    if response.body["job"] is not None:
        headers["Location"] = response.body["job"]["links"]["self"]
    return Response(orjson.dumps(response.body), response.status_code, headers, "application/json")


WAITED: dict[int | str, dict[str, Any]] = {
    status: {**described, "headers": {**described["headers"], APPLIED: PREFERENCE_APPLIED}}
    for status, described in TAGGED.items()
}
CLOCK = {"queue": {"waited_seconds"}}
"""The members of a job that change with time alone."""


class JobListParameters(PageParameters, JobFilterParameters):
    """What a list of jobs is narrowed to; all of it must hold. Other names are those of `metadata.KEY`."""

    model_config = ConfigDict(extra="allow")


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="List jobs",
    responses=problem_responses(422),
    openapi_extra={"parameters": [METADATA_KEY]},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_jobs(
    *,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    registry: Allowed,
    kinds: ServedKinds,
    parameters: Annotated[JobListParameters, Query()],
) -> JobList:
    """Return jobs, newest first.

    By a filter other than states, name, content or model, a page looks at 50,000 jobs at most, unless all states asked
    for are open, so it may have fewer items than `limit`, or none; `next_cursor` goes on.
    """
    wanted = read_job_filter(parameters, registry, kinds)
    page = await list_jobs(database, tenant, wanted, before=parameters.number(JOBS), limit=parameters.limit)
    cursor = None if page.next_before is None else encode_key(JOBS, [page.next_before])
    link_next(request, response, cursor)
    parts = {kind.name: kind.spec.parts for kind in kinds.served}
    return JobList(items=[JobSummary.of(job, parts.get(job.kind, ())) for job in page.facts], next_cursor=cursor)


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    summary="Show a job",
    response_model=Job,
    responses=WAITED | problem_responses(404, 422),
    openapi_extra={"parameters": [PREFER]},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_job(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    database: Database,
    tenant: Tenant,
    registry: Allowed,
    kinds: ServedKinds,
    _: Annotated[NoParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return a job with its spec as submitted and as it runs, and its progress of this moment.

    With `Prefer: wait=N` this moment is once the job has ended, or after N seconds.
    """
    job = await read_job(database, tenant, job_id)
    headers = {}
    if (seconds := read_wait(request.headers.getlist("prefer"))) is not None:
        if job.finished_at is not None or await services.job_waits.wait(request, tenant, job.job_no, seconds):
            headers = applied(seconds)
        if job.finished_at is None:
            job = await read_job(database, tenant, job_id)
    shown = await with_spec(await shown_job(request, job, database, registry, kinds), job, services.large_pages, tenant)
    answer = tagged(shown, if_none_match, untagged=CLOCK)
    answer.headers.update(headers)
    return answer


async def shown_job(request: Request, job: JobRead, database: Engine, registry: Registry, kinds: Kinds) -> Any:
    """Return a job as its kind shows it, without its spec; of a kind that isn't served here, what all kinds share."""
    kind = kinds.find(job.kind)
    shown = Job.of(job, ()) if kind is None else await kind.show(database, job, registry)
    if isinstance(shown, Job) and shown.held is not None and not is_operator(request):
        shown.held = shown.held.for_tenants()
    return shown


async def _preview(request: Request, services: Services, submission: Submission) -> SubmissionResponse:
    async with share_of(request):
        response = await services.submissions.preview(submission)
    count_plan = services.previews.get(submission.normalized.spec.kind)
    if count_plan is None:
        return response
    return replace(response, body={**response.body, "planned": await count_plan(submission)})


def _sender(request: Request) -> Sender:
    user_agent, caller = request.headers.get("user-agent"), caller_of(request)
    return Sender(
        request_id=request_id_of(request.scope),
        client=request.client.host if request.client else None,
        user_agent=_storable(user_agent) if user_agent else None,
        by=_storable(caller.name) if caller.name else None,
        session_id=caller.session_id,
    )


def _storable(text: str) -> str:
    """Return the beginning of a header as text that the database can hold."""
    return text[:MAX_LEDGER_TEXT].encode("ascii", "replace").decode().replace("\0", "?")
