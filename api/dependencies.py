"""Dependencies of routes: the stores that the composition root opened, and the tenant of the request."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from api.auditing import entry_of
from api.bodies import read_idempotency_key
from api.callers import caller_of, is_operator
from api.downloads import Downloads
from api.idempotent_actions import Action
from api.kinds import Kinds
from api.request_ids import request_id_of
from api.services import Services
from broker.envelopes import Client
from db.engine import Engine, for_tenant
from db.shares import Shares
from domain.errors import ParameterError, ParametersRejected
from domain.notes import MAX_ERRORS, cut
from domain.registry import Registry

INSTALLATION: Final = 0
"""Who shares places for actions with the tenants: they are numbered from 1."""


class NoParameters(BaseModel):
    """The query of a route without parameters; any parameter is refused, since it would be ignored."""

    model_config = ConfigDict(extra="forbid")


def services_of(request: Request) -> Services:
    """Return the services that this process opened at its start."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


ServicesDep = Annotated[Services, Depends(_services)]


def engine_of(request: Request, engine: Engine, shares: Shares | None = None) -> Engine:
    """Return an engine as the request may use it: with API keys, a tenant's own rows, or for its scope those of all.

    A tenant's has no more connections than its share, if there are `shares`.
    """
    if services_of(request).authenticator is None or request.state.sees_installation:
        return engine
    tenant_no = caller_of(request).tenant_no
    return for_tenant(engine, tenant_no, None if shares is None else shares.of(tenant_no))


def share_of(request: Request) -> AbstractAsyncContextManager[Any]:
    """Return the tenant's share of the pool, for a read by the role of services. Entering it raises Overloaded."""
    services = services_of(request)
    if services.authenticator is None or request.state.sees_installation:
        return nullcontext()
    return services.shares.of(caller_of(request).tenant_no)


def downloads_of(request: Request) -> Downloads:
    """Return the downloads of what the request may see."""
    downloads = services_of(request).downloads
    return replace(downloads, engine=engine_of(request, downloads.engine))


async def _engine(request: Request, services: ServicesDep) -> Engine:
    return engine_of(request, services.engine, services.shares)


async def _page_engine(request: Request, services: ServicesDep) -> Engine:
    return engine_of(request, services.engine)


async def _service_engine(services: ServicesDep) -> Engine:
    return services.engine


async def _broker(services: ServicesDep) -> Client:
    return services.redis


async def _registry(request: Request, services: ServicesDep) -> Registry:
    """Return the registry in force as the request's tenant may use it; it changes while the process runs."""
    return services.in_force.current.registry_for(caller_of(request).tenant)


async def _visible_registry(request: Request, services: ServicesDep) -> Registry:
    """Return the registry as the request may see it: with a key for `operate`, that of the whole installation."""
    if services.authenticator is not None and is_operator(request):
        return services.in_force.current.registry
    return await _registry(request, services)


async def _kinds(services: ServicesDep) -> Kinds:
    return services.kinds


async def tenant_of_request(request: Request) -> int:
    """Return the tenant of the request's caller, which `api.access.requires` has found."""
    return caller_of(request).tenant_no


Tenant = Annotated[int, Depends(tenant_of_request)]


def _permits(request: Request, services: Services) -> Sequence[AbstractAsyncContextManager[Any]]:
    """Return what an action holds while it runs: a tenant's own first, so that it keeps no other's waiting.

    Those of the whole installation are one more party, and without authentication all are of one.
    """
    if services.authenticator is None or request.state.sees_installation:
        return (services.action_places.place(INSTALLATION),)
    tenant_no = caller_of(request).tenant_no
    return services.action_shares.of(tenant_no), services.action_places.place(tenant_no)


async def _action(request: Request, services: ServicesDep, tenant_no: Tenant) -> Action:
    """Return the request as an action. Raises BadRequest for a malformed key."""
    return Action(
        engine=engine_of(request, services.engine),
        permits=_permits(request, services),
        tenant_no=tenant_no,
        key=read_idempotency_key(request),
        name=f"{request.method} {request.url.path}",
        request_id=request_id_of(request.scope),
        keep_hours=services.settings.idempotency_hours,
        worker_no=services.worker_no,
        kinds=services.kinds.stored,
        entry_of=partial(entry_of, request.scope),
    )


async def _refuse_repeated(request: Request) -> None:
    """Refuse a query parameter that is given twice: no route takes a list, and all values but one would be ignored."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [cut(name) for name, times in given.items() if times > 1][:MAX_ERRORS]
    if repeated:
        raise ParametersRejected(
            [ParameterError(name, "repeated_parameter", f"Give `{name}` once.") for name in repeated]
        )


# Async, though they wait for nothing: FastAPI runs plain functions in a thread.
Database = Annotated[Engine, Depends(_engine)]
"""PostgreSQL as the request may see it, with no more connections than its tenant's share."""
PageDatabase = Annotated[Engine, Depends(_page_engine)]
"""The same without a share, for `LargePages`: whoever has a place there must not wait for the tenant's other reads."""
ServiceDatabase = Annotated[Engine, Depends(_service_engine)]
"""PostgreSQL with the rows of all tenants, for what no tenant owns."""
Broker = Annotated[Client, Depends(_broker)]
Allowed = Annotated[Registry, Depends(_registry)]
"""What the request's tenant may name."""
Visible = Annotated[Registry, Depends(_visible_registry)]
"""What the request may see and pause."""
ServedKinds = Annotated[Kinds, Depends(_kinds)]
ActionDep = Annotated[Action, Depends(_action)]
ONE_OF_EACH = [Depends(_refuse_repeated)]
JobId = Annotated[
    str,
    Path(description="The job's id: the one that its spec came with, or the one it was given.", examples=["my-job"]),
]
