"""GET /providers, and pausing and resuming one."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import requires
from api.actors import BECAUSE
from api.callers import is_operator
from api.dependencies import ONE_OF_EACH, ActionDep, NoParameters, ServiceDatabase, ServicesDep, Visible
from api.idempotent_actions import Action
from api.paging import PROVIDERS, PageParameters, link_next, next_cursor, placed
from api.problems import problem_responses
from api.schemas.providers import Provider, ProviderList
from api.services import Services
from db.engine import Connection, connect
from db.pauses import Kind, Pause, Paused, read_pauses
from db.provider_pools import read_pools
from domain.errors import NotFound
from domain.notes import cut
from domain.registry import Registry
from domain.scopes import Scope

router = APIRouter(tags=["registry"], dependencies=ONE_OF_EACH)

ProviderName = Annotated[str, Path(description="The provider's name.", examples=["echo"])]
PROBLEMS = problem_responses(400, 404, 413, 415, 422)


@router.get(
    "/providers",
    operation_id="list_providers",
    summary="List providers",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_providers(
    *,
    request: Request,
    response: Response,
    database: ServiceDatabase,
    registry: Visible,
    services: ServicesDep,
    parameters: Annotated[PageParameters, Query()],
) -> ProviderList:
    """Return the providers that a model may name, paused or not, with what each is asked in its regions."""
    page = placed(registry.serving_providers, PROVIDERS, parameters)
    cursor = next_cursor(PROVIDERS, page, lambda placed: placed[:1])
    link_next(request, response, cursor)
    paused = await services.in_force.read()
    async with connect(database) as connection:
        shown = await _show(services, connection, [name for _, name in page.facts], paused, registry)
    items = shown if is_operator(request) else [provider.for_tenants() for provider in shown]
    return ProviderList(items=items, next_cursor=cursor)


@router.post(
    "/providers/{name:path}/pause",
    operation_id="pause_provider",
    summary="Pause a provider",
    response_model=Provider,
    responses=PROBLEMS,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def pause_provider(
    *,
    name: ProviderName,
    request: Request,
    action: ActionDep,
    registry: Visible,
    services: ServicesDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Ask the provider nothing more, and refuse new specs that name it unless they wait; calls in flight end.

    Safe to repeat: the second request changes and records nothing. Other API processes follow within a heartbeat.
    """
    return await _set_pause(request, action, name, registry, services, is_paused=True)


@router.post(
    "/providers/{name:path}/resume",
    operation_id="resume_provider",
    summary="Resume a provider",
    response_model=Provider,
    responses=PROBLEMS,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def resume_provider(
    *,
    name: ProviderName,
    request: Request,
    action: ActionDep,
    registry: Visible,
    services: ServicesDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Let the provider's work go on at once. Safe to repeat."""
    return await _set_pause(request, action, name, registry, services, is_paused=False)


async def _set_pause(
    request: Request, action: Action, name: str, registry: Registry, services: Services, *, is_paused: bool
) -> Response:
    if name not in registry.serving_providers:
        allowed = [cut(provider) for provider in registry.serving_providers]
        raise NotFound(f"There is no such provider; give one of {', '.join(allowed)}.", allowed=allowed)
    target = Paused(Kind.PROVIDER, name)

    async def show(connection: Connection) -> Provider:
        return (await _show(services, connection, [name], await read_pauses(connection), registry))[0]

    return await services.pauses.set_pause(request, action, target, is_paused=is_paused, show=show)


async def _show(
    services: Services, connection: Connection, names: list[str], paused: Mapping[Paused, Pause], registry: Registry
) -> list[Provider]:
    content = services.in_force.current.configuration.content
    pools = await read_pools(connection)
    shown = []
    for name in names:
        configured = content.providers.get(name)
        if configured is None:  # the configuration changed a moment ago
            continue
        regions = registry.regions_by_provider.get(name, registry.allowed_regions)
        shown.append(Provider.of(name, configured, paused[Paused(Kind.PROVIDER, name)], regions, pools))
    return shown
