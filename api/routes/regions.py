"""GET /regions, and pausing and resuming one."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import requires
from api.actors import BECAUSE
from api.callers import is_operator
from api.dependencies import ONE_OF_EACH, ActionDep, NoParameters, ServicesDep, Visible
from api.idempotent_actions import Action
from api.paging import REGIONS, PageParameters, link_next, next_cursor, placed
from api.problems import problem_responses
from api.schemas.regions import Region, RegionList
from api.services import Services
from db.engine import Connection
from db.pauses import Kind, Pause, Paused, read_pauses
from domain.errors import NotFound
from domain.notes import cut
from domain.registry import Region as KnownRegion
from domain.registry import Registry, fold
from domain.scopes import Scope

router = APIRouter(tags=["registry"], dependencies=ONE_OF_EACH)

RegionName = Annotated[str, Path(description="The region, by name or alias.", examples=["us-east"])]
PROBLEMS = problem_responses(400, 404, 413, 415, 422)


@router.get(
    "/regions",
    operation_id="list_regions",
    summary="List regions",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_regions(
    *,
    request: Request,
    response: Response,
    registry: Visible,
    services: ServicesDep,
    parameters: Annotated[PageParameters, Query()],
) -> RegionList:
    """Return the regions that a spec may name, paused or not."""
    page = placed(registry.regions, REGIONS, parameters)
    cursor = next_cursor(REGIONS, page, lambda placed: placed[:1])
    link_next(request, response, cursor)
    paused = await services.in_force.read()
    shown = [_show(services, region, paused) for _, region in page.facts]
    items = shown if is_operator(request) else [region.for_tenants() for region in shown]
    return RegionList(items=items, next_cursor=cursor)


@router.post(
    "/regions/{name:path}/pause",
    operation_id="pause_region",
    summary="Pause a region",
    response_model=Region,
    responses=PROBLEMS,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def pause_region(
    *,
    name: RegionName,
    request: Request,
    action: ActionDep,
    registry: Visible,
    services: ServicesDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Take up nothing more in the region, and refuse new specs that name it unless they wait; what runs ends.

    Safe to repeat: the second request changes and records nothing. Other API processes follow within a heartbeat.
    """
    return await _set_pause(request, action, _find(name, registry), services, is_paused=True)


@router.post(
    "/regions/{name:path}/resume",
    operation_id="resume_region",
    summary="Resume a region",
    response_model=Region,
    responses=PROBLEMS,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def resume_region(
    *,
    name: RegionName,
    request: Request,
    action: ActionDep,
    registry: Visible,
    services: ServicesDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Let the region's work go on at once. Safe to repeat."""
    return await _set_pause(request, action, _find(name, registry), services, is_paused=False)


async def _set_pause(
    request: Request, action: Action, region: KnownRegion, services: Services, *, is_paused: bool
) -> Response:
    target = Paused(Kind.REGION, region.name)

    async def show(connection: Connection) -> Region:
        return _show(services, region, await read_pauses(connection))

    return await services.pauses.set_pause(request, action, target, is_paused=is_paused, show=show)


def _show(services: Services, region: KnownRegion, paused: Mapping[Paused, Pause]) -> Region:
    configured = services.in_force.current.configuration.content.file.regions.get(region.name)
    return Region.of(region, paused[Paused(Kind.REGION, region.name)], configured.tenants if configured else None)


def _find(spelling: str, registry: Registry) -> KnownRegion:
    region = registry.region_by_spelling.get(fold(spelling))
    if region is None:
        allowed = [cut(name) for name in registry.allowed_regions]
        raise NotFound(f"There is no such region; give one of {', '.join(allowed)}.", allowed=allowed)
    return region
