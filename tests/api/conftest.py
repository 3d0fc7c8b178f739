"""A client of the routes that read, over stores of the test's own, and seeds to read."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from broker import envelopes
from broker.envelopes import Client
from db import workers
from db.engine import Engine, connect, create_engine
from tests.seeding import WORKER_ID, Seeds, reading_app


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Client]:
    client = envelopes.connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def seeds(engine: Engine) -> Seeds:
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id=WORKER_ID, role="worker", pid=1, host="here")
    return Seeds(engine, registered.worker_no)


@pytest.fixture
async def reader(engine: Engine, redis_client: Client, seeds: Seeds) -> AsyncIterator[httpx2.AsyncClient]:
    async with reading_app(engine, redis_client, seeds.worker_no) as client:
        yield client


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that writes what the service never would."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def bells(reader: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Let what is announced reach the stream."""
    announcing = asyncio.create_task(reader.app.state.announcer.run())  # type: ignore[attr-defined]
    yield
    announcing.cancel()
