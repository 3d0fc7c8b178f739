"""POST /tenants and GET /tenants: making and listing tenants."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.bodies import read_json
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters
from api.idempotent_actions import Reply
from api.paging import TENANTS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.access import NewTenant, Tenant, TenantList
from api.validating import described_body, validated
from db import tenants
from db.engine import Connection
from db.tenants import TenantRead, list_tenants
from domain.errors import NameTaken
from domain.scopes import Scope

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)


@router.post(
    "/tenants",
    summary="Make a tenant",
    status_code=201,
    response_model=Tenant,
    responses=problem_responses(400, 409, 413, 415, 422),
    openapi_extra=described_body(NewTenant, {"a tenant": {"value": {"name": "acme"}}}),
    dependencies=[requires(Scope.ADMIN)],
)
async def create_tenant(request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Make a tenant, which owns nothing yet. A name that is taken is refused: 409 `name_taken`."""
    new = validated(NewTenant, await read_json(request))

    async def unit(connection: Connection) -> TenantRead:
        made = await tenants.create_tenant(connection, new.name)
        if made is None:
            raise NameTaken(f"There is a tenant `{new.name}` already.")
        return made

    def reply(made: TenantRead) -> Reply:
        return Reply(201, Tenant.of(made), ids={"tenant": made.name})

    return (await action.perform(new, unit, answer=reply)).response


@router.get("/tenants", summary="List tenants", responses=problem_responses(422), dependencies=[requires(Scope.ADMIN)])
async def get_tenants(
    request: Request, response: Response, database: Database, parameters: Annotated[PageParameters, Query()]
) -> TenantList:
    """Return all tenants, in the order in which they were made."""
    page = await list_tenants(database, after=parameters.number(TENANTS) or 0, limit=parameters.limit)
    cursor = next_cursor(TENANTS, page, lambda tenant: [tenant.tenant_no])
    link_next(request, response, cursor)
    return TenantList(items=[Tenant.of(tenant) for tenant in page.facts], next_cursor=cursor)
