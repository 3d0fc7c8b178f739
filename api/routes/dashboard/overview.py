"""The first page under `/ui`: what goes on now, and what needs somebody."""

import asyncio
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
from api.paging import PageParameters
from api.routes.job_counts import get_overview
from api.routes.providers import get_providers
from api.routes.queue import get_activity
from api.routes.regions import get_regions
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

_ALL: Final = PageParameters(limit=200)
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
        answer = Response()
        regions, providers = await asyncio.gather(
            get_regions(request=request, response=answer, registry=registry, services=services, parameters=_ALL),
            get_providers(
                request=request,
                response=answer,
                database=all_tenants,
                registry=registry,
                services=services,
                parameters=_ALL,
            ),
        )
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
