"""A PostgreSQL that answers reads and commits nothing: /readyz says so, quickly, and that it commits again."""

import time

import asyncpg
import httpx2
import pytest

from tests.conftest import OwnEngines
from tests.service import Client, StartProcess, connected, unique
from tests.waiting import eventually_async

ANSWERED_SECONDS = 4.0


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("default_transaction_read_only", "on", "read-only"),
        ("synchronous_standby_names", "gone", "synchronous standby"),
    ],
)
async def test_a_database_that_takes_no_writes_is_not_ready_until_it_does(
    own_engines: OwnEngines, start_api: StartProcess, setting: str, value: str, words: str
) -> None:
    api = start_api(own_engines.database_url, own_engines.redis_url, heartbeat_seconds=0.3)
    operator = await asyncpg.connect(own_engines.database_url)
    async with connected(api, own_engines.database_url) as client:
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


async def says(http: httpx2.AsyncClient, status: int) -> bool:
    """Whether /readyz says this; it never takes long."""
    began = time.monotonic()
    answer = await http.get("/readyz")
    assert time.monotonic() - began < ANSWERED_SECONDS
    return answer.status_code == status


async def refused(client: Client) -> bool:
    answer = await client.post(unique())
    return answer.status_code == 503 and "Retry-After" in answer.headers


async def alter(operator: "asyncpg.Connection[asyncpg.Record]", change: str) -> None:
    await operator.execute(f"ALTER SYSTEM {change}")
    await operator.execute("SELECT pg_reload_conf()")
