"""An API whose background service failed ends: it would take requests that nothing answers."""

import signal

import asyncpg

from tests.support.service import StartProcess, api_client, unique
from tests.support.waiting import eventually


async def test_an_api_whose_duty_fails_ends_and_the_next_one_serves(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    """Its heartbeat writes a column that isn't there."""
    api = start_api(database_url, redis_url, heartbeat_seconds=0.1)
    body = unique()
    async with api_client(api, database_url) as client:
        assert (await client.post(body)).status_code == 202
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE workers RENAME COLUMN heartbeat_at TO gone")
    eventually(lambda: not api.is_alive, what="the API has ended")
    assert api.process.exitcode == -signal.SIGTERM
    (failed,) = api.events("duty_failed")
    assert failed["duty"] == "Registration.beat"
    assert "heartbeat_at" in str(failed)
    await connection.execute("ALTER TABLE workers RENAME COLUMN gone TO heartbeat_at")
    await connection.close()
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        assert (await client.post(body)).status_code == 200
