"""Submissions from plain Python: no HTTP app, the stores of the test's own."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from configuration.in_force import InForceReader
from db import workers
from db.engine import Engine, connect, create_engine
from runtime.settings import Settings
from submissions.service import Submissions


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection beside the service."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def created() -> list[int]:
    """The keys of jobs that were reported as new, for their announcement."""
    return []


@pytest.fixture
async def submissions(engine: Engine, created: list[int]) -> AsyncIterator[Submissions]:
    """What a worker or a command would open to submit by."""
    settings = Settings()
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="w", role="worker", pid=1, host="here")

    async def worker_no() -> int:
        return registered.worker_no

    in_force = InForceReader(engine, settings, by="a test")
    await in_force.read()
    service = Submissions(engine, settings, in_force, worker_no=worker_no, on_created=created.extend)
    running = asyncio.create_task(service.run())
    yield service
    running.cancel()
    await asyncio.wait([running])
