"""GET /operations: the pauses and resumes of regions and providers, and actions over a filter."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database
from api.paging import OPERATIONS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.pauses import Operation, OperationList
from db.operations import list_operations
from domain.scopes import Scope

router = APIRouter(tags=["registry"], dependencies=ONE_OF_EACH)


@router.get(
    "/operations",
    operation_id="list_operations",
    summary="List pauses, resumes and actions over a filter",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_operations(
    request: Request, response: Response, database: Database, parameters: Annotated[PageParameters, Query()]
) -> OperationList:
    """Return every pause and resume that changed something, and every action over a filter, newest first."""
    page = await list_operations(database, before=parameters.number(OPERATIONS), limit=parameters.limit)
    cursor = next_cursor(OPERATIONS, page, lambda operation: [operation.operation_no])
    link_next(request, response, cursor)
    return OperationList(items=[Operation.of(operation) for operation in page.facts], next_cursor=cursor)
