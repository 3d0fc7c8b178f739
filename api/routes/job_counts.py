"""GET /overview: the tenant's jobs by state."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, NoParameters, Tenant
from api.problems import problem_responses
from api.schemas.activity import Overview
from db.job_counts import count_jobs
from domain.scopes import Scope

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)


@router.get(
    "/overview",
    operation_id="get_overview",
    summary="Count jobs by state",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_overview(database: Database, tenant: Tenant, _: Annotated[NoParameters, Query()]) -> Overview:
    """Return how many jobs wait, run and ended within a day. However many there are, it stays cheap: counts stop."""
    return Overview.of(await count_jobs(database, tenant))
