"""Regions and providers, as several pages show them."""

import asyncio
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from api.paging import PageParameters
from api.routes.providers import get_providers
from api.routes.regions import get_regions
from api.schemas.providers import ProviderList
from api.schemas.regions import RegionList
from api.services import Services
from db.engine import Engine
from domain.registry import Registry

MOST: Final = PageParameters(limit=200)


async def read_places(
    request: Request, services: Services, all_tenants: Engine, registry: Registry
) -> tuple[RegionList, ProviderList]:
    """Return the regions and the providers of a registry, the first 200 of each."""
    answer = Response()  # takes the links to further pages
    return await asyncio.gather(
        get_regions(request=request, response=answer, registry=registry, services=services, parameters=MOST),
        get_providers(
            request=request,
            response=answer,
            database=all_tenants,
            registry=registry,
            services=services,
            parameters=MOST,
        ),
    )
