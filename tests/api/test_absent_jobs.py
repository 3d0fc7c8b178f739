"""A request for an absent job costs no more than a request for an existing one."""

import asyncpg

from tests.support.connections import database_connections as connected_to
from tests.support.service import StartProcess, api_client
from tests.support.waiting import eventually_async

SUB_RESOURCES = ("executions", "waves", "events", "coordination", "audit", "rejects")


async def sessions(database: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many sessions the server says were ever opened in this database."""
    await database.execute("SELECT pg_stat_clear_snapshot()")
    found: int = await database.fetchval("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    return found


async def test_asking_for_parts_of_absent_jobs_opens_no_sessions(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    api = start_api(database_url, redis_url)
    async with api_client(api, database_url) as client:
        for part in SUB_RESOURCES:
            assert (await client.http.get(f"/jobs/absent/{part}")).status_code == 404
        before = await sessions(client.database)
        for number in range(200):
            answer = await client.http.get(f"/jobs/absent-{number}/{SUB_RESOURCES[number % len(SUB_RESOURCES)]}")
            assert answer.status_code == 404

        async def counts() -> bool:
            """The server's count lags: it is up to date once it shows a session that was opened after all others."""
            async with connected_to(database_url):
                return await sessions(client.database) > before

        await eventually_async(counts)
        assert await sessions(client.database) - before < 20
