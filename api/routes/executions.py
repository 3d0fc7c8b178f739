"""Executions: those of a job, by pages or as a file, those of all jobs, and a single one with its tries."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import (
    ONE_OF_EACH,
    Allowed,
    JobId,
    NoParameters,
    PageDatabase,
    ServicesDep,
    Tenant,
    downloads_of,
)
from api.downloads import Download
from api.etags import TAGGED, IfNoneMatch, tagged
from api.execution_files import CSV, NDJSON
from api.filters import NameFilter, canonical_region
from api.given_numbers import ExecutionId
from api.headers import DISPOSITION, ETAG
from api.paging import ALL_EXECUTIONS, EXECUTIONS, PageParameters, encode_key, link_next, next_cursor
from api.problems import problem_responses
from api.representations import Representations
from api.schemas.executions import Execution, ExecutionList, ExecutionWithAttempts
from db.all_executions import FIRST_OF_ALL, CellOfJob, list_all_executions
from db.engine import Engine
from db.executions import FIRST, CellKey, ExecutionFilter, all_executions, list_executions, read_execution
from domain.registry import Registry
from domain.scopes import Scope
from domain.status import ExecutionStatus

router = APIRouter(tags=["executions"], dependencies=ONE_OF_EACH)

REPRESENTATIONS = Representations(NDJSON, CSV)
LIST_HEADERS: dict[str, Any] = {"ETag": {**ETAG, "required": False}, "Content-Disposition": DISPOSITION}
"""A page has a tag, a file a name."""


class ExecutionListParameters(PageParameters):
    """What a job's executions are narrowed to; all of it must hold."""

    status: ExecutionStatus | None = None
    model: NameFilter | None = Field(default=None, description="A model's id.")
    region: NameFilter | None = Field(default=None, description="A region, by name or alias.")
    question: NameFilter | None = Field(default=None, description="A question's id.")


@router.get(
    "/jobs/{job_id}/executions",
    operation_id="list_job_executions",
    summary="List or download a job's executions",
    response_model=ExecutionList,
    responses={
        200: {"headers": LIST_HEADERS, "content": REPRESENTATIONS.content},
        304: TAGGED[304],
        **problem_responses(404, 406, 422),
    },
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_executions(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    database: PageDatabase,
    tenant: Tenant,
    registry: Allowed,
    parameters: Annotated[ExecutionListParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return the planned cells in plan order; none while the job is queued.

    With `Accept: application/x-ndjson` or `text/csv`: all of them that match, as they are at one moment, in a file.
    `limit` and `cursor` don't go with that. If it can't be sent to its end, the connection is closed without the last
    chunk, which every client reports as an error.
    """
    wanted = wanted_cells(parameters, registry)
    file_format = REPRESENTATIONS.negotiate(request, parameters)
    if file_format is not None:
        cells = partial(all_executions, tenant_no=tenant, job_id=job_id, wanted=wanted)
        name = f"{job_id.replace(':', '-')}-executions"
        return Download(downloads_of(request), cells, file_format, name, shown=Execution.of)
    async with services.large_pages.place(tenant):
        shown = await look_at_executions(database, tenant, job_id, wanted, parameters)
        answer = tagged(shown, if_none_match)
    answer.headers["Vary"] = "Accept"
    link_next(request, answer, shown.next_cursor)
    return answer


def wanted_cells(parameters: ExecutionListParameters, registry: Registry) -> ExecutionFilter:
    """Return the filter that the parameters ask for. Raises ParametersRejected."""
    return ExecutionFilter(
        status=parameters.status,
        model=parameters.model,
        region=canonical_region(parameters.region, registry),
        question=parameters.question,
    )


async def look_at_executions(
    database: Engine, tenant: int, job_id: str, wanted: ExecutionFilter, parameters: PageParameters
) -> ExecutionList:
    """Return a page of the cells that match; hold a place of `LargePages`. Raises NotFound, ParametersRejected."""
    key = parameters.key(EXECUTIONS)
    after = CellKey(*key) if key else FIRST
    page = await list_executions(database, tenant, job_id, wanted, after=after, limit=parameters.limit)
    cursor = next_cursor(EXECUTIONS, page, lambda cell: cell.key)
    return ExecutionList(items=[Execution.of(cell) for cell in page.facts], next_cursor=cursor)


class AllExecutionsParameters(PageParameters):
    """Which executions of all jobs are listed."""

    status: ExecutionStatus | None = Field(
        default=None, description="`unknown` ones wait for a person: POST /executions/{id}/resolve."
    )


@router.get(
    "/executions",
    operation_id="list_executions",
    summary="List executions of all jobs",
    response_model=ExecutionList,
    responses=problem_responses(422),
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_all_executions(
    *,
    request: Request,
    services: ServicesDep,
    database: PageDatabase,
    tenant: Tenant,
    parameters: Annotated[AllExecutionsParameters, Query()],
) -> Any:
    """Return planned cells of all jobs: those of the newest job first, each job's in plan order.

    A page looks into 100 jobs at most, or those that have 20,000 cells in all, so it may have fewer items than `limit`,
    or none; `next_cursor` goes on.
    """
    key = parameters.key(ALL_EXECUTIONS)
    after = CellOfJob(*key) if key else FIRST_OF_ALL
    async with services.large_pages.place(tenant):
        cells, last = await list_all_executions(
            database, tenant, parameters.status, after=after, limit=parameters.limit
        )
        cursor = None if last is None else encode_key(ALL_EXECUTIONS, last)
        shown = ExecutionList(items=[Execution.of(cell) for cell in cells], next_cursor=cursor)
        answer = Response(shown.model_dump_json(), media_type="application/json")
    link_next(request, answer, cursor)
    return answer


@router.get(
    "/executions/{execution_id}",
    operation_id="get_execution",
    summary="Show an execution",
    response_model=ExecutionWithAttempts,
    responses=problem_responses(404, 422),
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_execution(
    *,
    execution_id: ExecutionId,
    services: ServicesDep,
    database: PageDatabase,
    tenant: Tenant,
    _: Annotated[NoParameters, Query()],
) -> Any:
    """Return a planned cell and every try of it that came to an end."""
    async with services.large_pages.place(tenant):
        shown = ExecutionWithAttempts.with_attempts(*await read_execution(database, tenant, execution_id))
        return Response(shown.model_dump_json(), media_type="application/json")
