"""The first page under `/ui`: what goes on now, and what needs somebody."""

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import attention
from api.access import signed_in
from api.attention import Attention
from api.callers import caller_of
from api.dependencies import ONE_OF_EACH, Database, NoParameters, ServiceDatabase, ServicesDep, Tenant, Visible
from api.page_views import JOBS, START, page
from api.routes.dashboard.places import read_places
from api.routes.job_counts import get_overview
from api.routes.queue import get_activity
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

_NOTHING: Final = NoParameters()


@router.get(START, dependencies=[signed_in])
async def show_overview(
    *,
    request: Request,
    services: ServicesDep,
    database: Database,
    all_tenants: ServiceDatabase,
    registry: Visible,
    tenant: Tenant,
) -> Response:
    """Return what the caller may see: numbers of its own jobs, and with `operate` those of the installation."""
    scopes = caller_of(request).scopes
    now = datetime.now(UTC)
    overview = activity = None
    needed: list[Attention] = []
    if Scope.OPERATE in scopes:
        activity = await get_activity(services, _NOTHING)
        needed += attention.of_installation(activity)
    if Scope.JOBS_READ in scopes:
        overview = await get_overview(database, tenant, _NOTHING)
        needed += attention.of_jobs(overview, now)
    if activity or overview:
        regions, providers = await read_places(request, services, all_tenants, registry)
        path = attention.QUEUE if activity else JOBS
        needed += attention.of_places(regions.items, providers.items, path=path)
    return page(
        request,
        "overview.html",
        origin=str(request.base_url).rstrip("/"),
        overview=overview,
        activity=activity,
        ended_path=attention.of_ended,
        needed=sorted(needed, key=lambda each: not each.is_fault),
    )
