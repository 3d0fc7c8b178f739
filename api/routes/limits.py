"""GET /limits: the limits of the API key that asks and of its tenant, and how much of them is used."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.access import requires
from api.callers import caller_of
from api.dependencies import ONE_OF_EACH, Database, NoParameters
from api.problems import problem_responses
from api.rate_limits import tell, told_quotas
from api.schemas.access import UsedLimit, UsedLimits
from db.engine import connect
from db.usage import read_usage
from domain.quotas import quotas_of_all
from domain.scopes import Scope

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)


@router.get(
    "/limits",
    operation_id="get_limits",
    summary="Show the limits of your API key and tenant",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_limits(request: Request, database: Database, _: Annotated[NoParameters, Query()]) -> UsedLimits:
    """Return the limits of the key and its tenant, and how much of each is used; this request counts too.

    Those of the tenant are over all its keys, access tokens and sessions; their names begin with `tenant_`.
    """
    caller = caller_of(request)
    if limited := caller.limited_by:
        async with connect(database) as connection:
            usage = await read_usage(connection, limited)
        tell(request, quotas_of_all(limited, usage))
    return UsedLimits(key_id=caller.key_id, limits=[UsedLimit.of(quota) for quota in told_quotas(request)])
