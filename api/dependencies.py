"""What routes ask for: the stores that the composition root opened, and whose data a request may see."""

from typing import Annotated

from fastapi import Depends, Request

from broker.envelopes import Client
from db.engine import Engine
from db.tenants import DEFAULT_TENANT_NO


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _broker(request: Request) -> Client:
    client: Client = request.app.state.redis
    return client


async def _tenant_no() -> int:
    """Return the tenant of the request: the default one, while there are no API keys."""
    return DEFAULT_TENANT_NO


# Async, though they wait for nothing: FastAPI runs plain functions in a thread.
Database = Annotated[Engine, Depends(_engine)]
Broker = Annotated[Client, Depends(_broker)]
Tenant = Annotated[int, Depends(_tenant_no)]
