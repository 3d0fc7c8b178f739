"""GET /jobs/{id}/executions and GET /executions/{id}: the cells of a job, and one with its tries."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.dependencies import ONE_OF_EACH, Database, ExecutionId, JobId, NoParameters, Tenant
from api.etags import TAGGED, IfNoneMatch, tagged
from api.filters import NameFilter, canonical_region
from api.paging import EXECUTIONS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.executions import Execution, ExecutionList, ExecutionWithAttempts
from db.executions import FIRST, CellKey, ExecutionFilter, list_executions, read_execution
from domain.status import ExecutionStatus

router = APIRouter(tags=["executions"], dependencies=ONE_OF_EACH)


class ExecutionListParameters(PageParameters):
    """What a job's executions are narrowed to; all of it must hold."""

    status: ExecutionStatus | None = None
    model: NameFilter | None = Field(default=None, description="A model's id.")
    region: NameFilter | None = Field(default=None, description="A region, by name or alias.")
    question: NameFilter | None = Field(default=None, description="A question's id.")


@router.get(
    "/jobs/{job_id}/executions",
    summary="List a job's executions",
    response_model=ExecutionList,
    responses={**TAGGED, **problem_responses(404, 422)},
)
async def get_executions(
    *,
    job_id: JobId,
    request: Request,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[ExecutionListParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return the planned cells in plan order; none while the job is queued."""
    wanted = ExecutionFilter(
        status=parameters.status,
        model=parameters.model,
        region=canonical_region(parameters.region, request.app.state.registry),
        question=parameters.question,
    )
    key = parameters.key(EXECUTIONS)
    after = CellKey(*key) if key else FIRST
    page = await list_executions(database, tenant, job_id, wanted, after=after, limit=parameters.limit)
    cursor = next_cursor(EXECUTIONS, page, lambda cell: cell.key)
    answer = tagged(ExecutionList(items=[Execution.of(cell) for cell in page.facts], next_cursor=cursor), if_none_match)
    link_next(request, answer, cursor)
    return answer


@router.get("/executions/{execution_id}", summary="Show an execution", responses=problem_responses(404, 422))
async def get_execution(
    *, execution_id: ExecutionId, database: Database, tenant: Tenant, _: Annotated[NoParameters, Query()]
) -> ExecutionWithAttempts:
    """Return a planned cell and every try of it that came to an end."""
    return ExecutionWithAttempts.with_attempts(*await read_execution(database, tenant, execution_id))
