"""A PostgreSQL that answers reads and commits nothing: /readyz says so, quickly, and that it commits again."""

import asyncio
import time

import asyncpg
import httpx2
import pytest

from api.app import KINDS
from api.registration import Registration
from db.engine import create_engine
from runtime.databases import Reminder
from runtime.tasks import end_tasks
from tests.support.engines import OwnEngines
from tests.support.service import Client, StartProcess, api_client, unique
from tests.support.waiting import eventually_async

ANSWERED_SECONDS = 4.0
REFUSED_SECONDS = 10.0
"""A POST meets the limit of a statement, on a machine that may be busy."""

STORED = tuple(KINDS.stored.values())


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("default_transaction_read_only", "on", "read-only"),
        pytest.param("synchronous_standby_names", "gone", "synchronous standby", marks=pytest.mark.long),
    ],
)
async def test_a_database_that_takes_no_writes_is_not_ready_until_it_does(
    own_engines: OwnEngines, start_api: StartProcess, setting: str, value: str, words: str
) -> None:
    api = start_api(own_engines.database_url, own_engines.redis_url, heartbeat_seconds=0.3)
    operator = await asyncpg.connect(own_engines.database_url)
    async with api_client(api, own_engines.database_url) as client:
        await eventually_async(lambda: says(client.http, 200), what="ready at first")
        assert (await client.post(unique())).status_code == 202
        await alter(operator, f"SET {setting} = '{value}'")
        await eventually_async(lambda: says(client.http, 503), what="not ready")
        problem = (await client.http.get("/readyz")).json()
        assert problem["code"] == "database_not_writable"
        assert words in problem["detail"]
        assert (await client.http.get("/livez")).status_code == 200
        assert await refused(client)
        assert await says(client.http, 503)
        await alter(operator, f"RESET {setting}")
        await eventually_async(lambda: says(client.http, 200), what="ready again")
        assert (await client.post(unique())).status_code == 202
    await operator.close()


async def test_a_commit_that_hangs_is_noticed_and_so_is_one_that_does_not(
    own_engines: OwnEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.registration.QUICK_SECONDS", 0.5)
    operator = await asyncpg.connect(own_engines.database_url)
    engine = create_engine(own_engines.database_url, size=1)
    registration = Registration(engine, 0.2, Reminder(own_engines.database_url), STORED)

    async def is_written() -> bool:
        return registration.unwritten is None

    async def hangs() -> bool:
        return "synchronous standby" in (registration.unwritten or "")

    assert registration.unwritten
    beating = asyncio.create_task(registration.beat())
    await eventually_async(is_written, what="a heartbeat is committed")
    await alter(operator, "SET synchronous_standby_names = 'gone'")
    await eventually_async(hangs, what="one hangs")
    await alter(operator, "RESET synchronous_standby_names")
    await eventually_async(is_written, what="one is committed again")
    assert await operator.fetchval("SELECT count(*) FROM workers") == 1
    await end_tasks([beating])
    await engine.dispose()
    await operator.close()


async def test_a_process_entered_by_an_unconfirmed_commit_keeps_its_number(
    own_engines: OwnEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby is gone from the start: the first entry times out, though its row is there once the wait is ended."""
    monkeypatch.setattr("api.registration.QUICK_SECONDS", 0.5)
    operator = await asyncpg.connect(own_engines.database_url)
    await alter(operator, "SET synchronous_standby_names = 'gone'")
    engine = create_engine(own_engines.database_url, size=1)
    registration = Registration(engine, 0.2, Reminder(own_engines.database_url), STORED)
    with pytest.raises(TimeoutError):
        await registration.worker_no()
    await eventually_async(lambda: operator.fetchval("SELECT count(*) = 1 FROM workers"), what="it is entered")
    await alter(operator, "RESET synchronous_standby_names")
    assert await registration.worker_no() == await operator.fetchval("SELECT worker_no FROM workers")
    await engine.dispose()
    await operator.close()


async def says(http: httpx2.AsyncClient, status: int) -> bool:
    """Whether /readyz says this; it never takes long."""
    began = time.monotonic()
    answer = await http.get("/readyz")
    assert time.monotonic() - began < ANSWERED_SECONDS
    return answer.status_code == status


async def refused(client: Client) -> bool:
    began = time.monotonic()
    answer = await client.post(unique())
    assert time.monotonic() - began < REFUSED_SECONDS
    return answer.status_code == 503 and "Retry-After" in answer.headers


async def alter(operator: "asyncpg.Connection[asyncpg.Record]", change: str) -> None:
    await operator.execute(f"ALTER SYSTEM {change}")
    await operator.execute("SELECT pg_reload_conf()")
