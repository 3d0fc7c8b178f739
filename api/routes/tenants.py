"""POST /tenants, GET /tenants and POST /tenants/{tenant}/limits: making and listing tenants, and limiting them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import RootModel

from api.access import requires
from api.bodies import read_json
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters
from api.idempotent_actions import Reply
from api.paging import TENANTS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.access import LimitChanges, NewTenant, Tenant, TenantList
from api.validating import described_body, validated
from db import tenants
from db.engine import Connection
from db.tenants import TenantRead, list_tenants
from domain.errors import NameTaken, NotFound
from domain.scopes import Scope

EXAMPLES = {
    "a tenant": {"value": {"name": "acme"}},
    "with limits over all its keys": {"value": {"name": "acme", "limits": {"cells_per_day": 100000}}},
}
TenantName = Annotated[str, Path(description="The tenant's name.", examples=["acme"])]

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)


@router.post(
    "/tenants",
    operation_id="create_tenant",
    summary="Make a tenant",
    status_code=201,
    response_model=Tenant,
    responses=problem_responses(400, 409, 413, 415, 422),
    openapi_extra=described_body(NewTenant, EXAMPLES),
    dependencies=[requires(Scope.ADMIN)],
)
async def create_tenant(request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Make a tenant, which owns nothing yet. A name that is taken is refused: 409 `name_taken`."""
    new = validated(NewTenant, await read_json(request))

    async def unit(connection: Connection) -> TenantRead:
        made = await tenants.create_tenant(connection, new.name, new.limits.values())
        if made is None:
            raise NameTaken(f"There is a tenant `{new.name}` already.")
        return made

    def reply(made: TenantRead) -> Reply:
        return Reply(201, Tenant.of(made), ids={"tenant": made.name})

    return (await action.perform(new, unit, answer=reply)).response


@router.get(
    "/tenants",
    operation_id="list_tenants",
    summary="List tenants",
    responses=problem_responses(422),
    dependencies=[requires(Scope.ADMIN)],
)
async def get_tenants(
    request: Request, response: Response, database: Database, parameters: Annotated[PageParameters, Query()]
) -> TenantList:
    """Return all tenants, in the order in which they were made."""
    page = await list_tenants(database, after=parameters.number(TENANTS) or 0, limit=parameters.limit)
    cursor = next_cursor(TENANTS, page, lambda tenant: [tenant.tenant_no])
    link_next(request, response, cursor)
    return TenantList(items=[Tenant.of(tenant) for tenant in page.facts], next_cursor=cursor)


@router.post(
    "/tenants/{tenant}/limits",
    operation_id="set_tenant_limits",
    summary="Set limits of a tenant",
    response_model=Tenant,
    responses=problem_responses(400, 404, 413, 415, 422),
    openapi_extra=described_body(
        LimitChanges, {"one set, one taken away": {"value": {"cells_per_day": 100000, "active_jobs": None}}}
    ),
    dependencies=[requires(Scope.ADMIN)],
)
async def set_tenant_limits(
    tenant: TenantName, request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]
) -> Any:
    """Set limits over all of the tenant's keys, access tokens and sessions; every process obeys within a second.

    Null takes a limit away; those that aren't given stay. What was used before counts.
    """
    changes = validated(LimitChanges, await read_json(request)).changes()

    async def unit(connection: Connection) -> TenantRead:
        changed = await tenants.set_limits(connection, tenant, changes)
        if changed is None:
            raise NotFound("There is no tenant with this name.")
        return changed

    body = RootModel[dict[str, int | None]](changes)  # what is null isn't what is missing
    return (await action.perform(body, unit, answer=lambda changed: Reply(200, Tenant.of(changed)))).response
