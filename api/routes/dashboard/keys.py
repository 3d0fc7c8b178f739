"""The page of API keys and tenants."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database
from api.page_views import next_address, page
from api.paging import PageParameters
from api.routes.keys import get_keys
from api.routes.tenants import get_tenants
from api.schemas.access import Limits
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

_MEANINGS: Final = {
    Scope.JOBS_WRITE: "submit jobs",
    Scope.JOBS_READ: "see its tenant's jobs",
    Scope.RESULTS_READ: "see answers and rows",
    Scope.CONTROLS: "cancel, retry and resolve",
    Scope.OPERATE: "queue, pauses and dead letters of all tenants",
    Scope.METRICS: "metrics of all tenants",
    Scope.ADMIN: "keys, tenants and the audit log",
}
_TENANTS: Final = PageParameters(limit=200)


@router.get("/ui/keys", dependencies=[requires(Scope.ADMIN)])
async def show_keys(request: Request, database: Database, parameters: Annotated[PageParameters, Query()]) -> Response:
    """Return the keys of all tenants, newest first, the first 200 tenants, and forms to make more."""
    keys, tenants = await asyncio.gather(
        get_keys(request, Response(), database, parameters), get_tenants(request, Response(), database, _TENANTS)
    )
    return page(
        request,
        "keys.html",
        keys=keys,
        tenants=tenants,
        meanings=_MEANINGS,
        limits=list(Limits.model_fields),
        next_address=next_address(request, keys.next_cursor),
    )
