"""Keys with limits, two APIs that serve them, and what they used, recounted from jobs and events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import httpx2
import pytest

from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.service import Client, Json, Process, api_client, unique

CREATED = """
SELECT
    (SELECT coalesce(sum(j.planned), 0) FROM jobs AS j)
    + (SELECT coalesce(sum((e.data ->> 'cells')::int), 0) FROM events AS e WHERE e.type = 'retried')
"""
"""The cells of all jobs and of all retries; what a key with a quota used, where it is the only one."""

SPEND = """
INSERT INTO key_usage (key_no, day, cells)
SELECT k.key_no, timezone('UTC', now())::date, $2 FROM api_keys AS k WHERE k.id = $1
"""


@dataclass(frozen=True)
class TwoApis:
    """Two API processes on one database, which ask for keys."""

    first: Client
    second: Client

    @property
    def clients(self) -> Sequence[Client]:
        return (self.first, self.second)

    @property
    def database(self) -> "asyncpg.Connection[asyncpg.Record]":
        return self.first.database

    async def key(self, *scopes: Scope, **limits: int) -> str:
        """The text of a new key with these limits."""
        return await make_key(self.database, *scopes, limits=KeyLimits(**limits))

    async def key_that_has_left(self, cells: int) -> str:
        """The text of a new key that may create so many cells yet, of ten in a day."""
        key = await self.key(cells_per_day=10)
        await self.database.execute(SPEND, key.split("_")[1], 10 - cells)
        return key

    async def left(self) -> int:
        """The cells that the newest of such keys may create yet."""
        return 10 - int(await self.database.fetchval("SELECT cells FROM key_usage ORDER BY key_no DESC LIMIT 1"))

    async def post_all(self, key: str, bodies: Iterable[Json]) -> list[httpx2.Response]:
        """Post all bodies at once, to both APIs by turns."""
        return await asyncio.gather(
            *(AsKey(self.clients[n % 2].http, key).post("/jobs", body) for n, body in enumerate(bodies))
        )

    async def created(self) -> int:
        """Recount all cells that were created."""
        return int(await self.database.fetchval(CREATED))

    async def used(self) -> int | None:
        """The cells that the one key with a quota has used."""
        used: int | None = await self.database.fetchval("SELECT cells FROM key_usage")
        return used


def of_cells(count: int, **changes: object) -> Json:
    """A spec of so many cells."""
    return unique(questions=[f"What is {n}+{n}?" for n in range(count)], **changes)


def refusals(answers: Iterable[httpx2.Response]) -> list[httpx2.Response]:
    """The answers that a quota refused; all others must be new jobs."""
    refused = [answer for answer in answers if answer.status_code != 202]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded"), answer.text
    return refused


@pytest.fixture
async def two_apis(start_api: Callable[..., Process], database_url: str, redis_url: str) -> AsyncIterator[TwoApis]:
    """Two APIs that ask for keys."""
    async with AsyncExitStack() as opened:
        apis = [start_api(database_url, redis_url, auth="keys") for _ in range(2)]
        yield TwoApis(*[await opened.enter_async_context(api_client(api, database_url)) for api in apis])
