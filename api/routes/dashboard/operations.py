"""The pages of who did what: pauses and resumes, and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database
from api.page_views import next_address, page, read_filters
from api.paging import PageParameters
from api.routes.audit_log import AuditLogParameters, read_audit_log
from api.routes.operations import get_operations
from db.audit_log import AuditOutcome
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)


@router.get("/ui/operations", dependencies=[requires(Scope.OPERATE)])
async def show_operations(
    request: Request, database: Database, parameters: Annotated[PageParameters, Query()]
) -> Response:
    """Return every pause and resume, newest first."""
    listed = await get_operations(request, Response(), database, parameters)
    following = next_address(request, listed.next_cursor)
    return page(request, "operations.html", operations=listed, next_address=following)


@router.get("/ui/operations/log", dependencies=[requires(Scope.ADMIN)])
async def show_audit_log(request: Request, database: Database) -> Response:
    """Return the entries of the audit log that match, newest first."""
    wanted = read_filters(request, AuditLogParameters)
    listed = await read_audit_log(database, wanted)
    following = next_address(request, listed.next_cursor)
    return page(
        request, "audit_log.html", entries=listed, wanted=wanted, outcomes=list(AuditOutcome), next_address=following
    )
