"""A client of the routes that read, over stores of the test's own, and seeds to read."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from broker import envelopes
from broker.envelopes import Client
from db import workers
from db.engine import Engine, connect, create_engine
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.import_bodies import configured
from tests.support.job_seeds import WORKER_ID, Seeds
from tests.support.reading_app import reading_app
from tests.support.service import Json


@pytest.fixture(scope="module")
def issuer() -> Iterator[IdentityProvider]:
    """An identity provider that the tests of a module share."""
    with identity_provider() as provider:
        yield provider


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
    """A connection for writes that the service never makes."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def announcing(reader: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Let announced envelopes reach the stream."""
    task = asyncio.create_task(reader.app.state.services.announcer.run())  # type: ignore[attr-defined]
    yield
    task.cancel()


CUSTOMERS = "id,name\n" + "".join(f"{n:05},Customer {n}\n" for n in range(1, 1201))


ORDERS = "customer,line,amount\n" + "".join(f"{1 + n % 1200:05},{n:05},{n}.50\n" for n in range(2500))


@pytest.fixture
def import_settings(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Of processes that may import the files of a folder, two of which are there."""
    path = configured(tmp_path)
    monkeypatch.setenv("ERP_URL", database_url)
    (tmp_path / "data" / "customer.csv").write_text(CUSTOMERS)
    (tmp_path / "data" / "order.csv").write_text(ORDERS)
    return {"config": path, "data_dir": tmp_path / "state"}
