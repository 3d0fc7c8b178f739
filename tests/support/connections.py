"""Plain connections to the stores of a test, and envelopes put on the stream."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
import orjson
import pytest

from broker import envelopes
from broker.envelopes import Envelope
from db.engine import Connection, statement


async def publish_envelopes(redis_url: str, job_nos: Iterable[int], *, source: str = "initial") -> None:
    """Publish an envelope for each of these jobs."""
    async with broker_client(redis_url) as client:
        await envelopes.publish(
            client, [Envelope(job=job_no, source=source, enqueued_at=time.time()) for job_no in job_nos]
        )


def envelope_of(job: int) -> Envelope:
    """An envelope that asks for a look at this job."""
    return Envelope(job=job, source="initial", enqueued_at=time.time())


async def waiting_in(connection: Connection, name: str) -> int | None:
    """Return the process of a session of this database that waits for a lock in this statement, if there is one."""
    waiting = """
    SELECT pid FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database() AND starts_with(query, $1)
    """
    pid: int | None = await connection.fetchval(waiting, statement(name)[:200])
    return pid


@asynccontextmanager
async def broker_client(redis_url: str) -> AsyncIterator[envelopes.Client]:
    """A client of the stream, closed at the end."""
    client = envelopes.connect(redis_url)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def database_connections(database_url: str, count: int = 1, **settings: str) -> AsyncIterator[list[Connection]]:
    """So many plain connections with these settings of the server, closed at the end."""
    connections = [await _connect(database_url, settings) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.terminate()


async def _connect(database_url: str, settings: dict[str, str]) -> Connection:
    connection: Connection = await asyncpg.connect(database_url, server_settings=settings)
    await connection.set_type_codec("json", encoder=lambda x: x, decoder=orjson.loads, schema="pg_catalog")
    return connection


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection to look with."""
    async with database_connections(database_url) as (connection,):
        yield connection
