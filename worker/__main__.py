"""The composition root of a worker: its stores, its duties, and how it stops."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
import uvloop

from broker import envelopes
from db import batches, workers
from db.engine import GONE, REFUSED, connect, create_engine, in_transaction, probe
from db.failures import describe_failure
from db.imports import IMPORT_POOL
from db.pauses import configured_pauses, enter_pauses
from runtime.databases import Reminder, unusable
from runtime.settings import Settings, registry
from sources.configured import ConfiguredSources
from worker.context import Context
from worker.duties import Worker
from worker.providers import configured

CONNECTIONS = 8
CLAIM_SECONDS = 10.0
"""A claim takes milliseconds; one that isn't answered for so long is tried on another connection."""
RETRY_SECONDS = 1.0
"""Between two looks for a database that isn't there at the start."""
CLOSE_SECONDS = 1.0
"""For each of them at the end: a database that hangs mustn't hold up the process."""


def main(settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT, then hand back what is unfinished."""
    uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Run one worker in the current event loop until it is told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await _reach_database(settings.database_url or "", stopping)
    if not stopping.is_set():
        async with open_context(settings) as context:
            await Worker(context).run(stopping)


async def _reach_database(database_url: str, stopping: asyncio.Event) -> None:
    """Wait until the database is there or the worker is told to stop. Raises StartError where waiting can't help."""
    reminder = Reminder(database_url)
    while failure := await probe(database_url):
        if not failure.heals:
            raise unusable(database_url, failure.reason)
        reminder.warn(failure.reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await stopping.wait()
                return
    reminder.reset()


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open the worker's stores and providers and enter it into the register; close them at the end."""
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("A worker needs BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL.")
    serving = configured.serve(settings)
    sources = ConfiguredSources(settings)
    worker_id = f"worker-{secrets.token_hex(6)}"
    engine = create_engine(settings.database_url, size=CONNECTIONS, pinned_plans=True, name=worker_id)
    claims = create_engine(
        settings.database_url,
        size=2,
        pinned_plans=True,
        waits_for_disk=False,
        command_seconds=CLAIM_SECONDS,
        name=worker_id,
    )
    heartbeats = create_engine(settings.database_url, size=2, pinned_plans=True, name=worker_id)
    redis = envelopes.connect(settings.redis_url)
    log = structlog.stdlib.get_logger().bind(worker=worker_id)
    try:
        try:
            async with connect(engine) as connection:
                registered = await workers.register(
                    connection, worker_id=worker_id, role="worker", pid=os.getpid(), host=socket.gethostname()
                )
                await enter_pauses(connection, configured_pauses(registry(settings)))
            await in_transaction(engine, lambda c: batches.enter_pools(c, {**serving.limits, IMPORT_POOL: None}))
        except (*GONE, *REFUSED) as error:
            raise unusable(settings.database_url, describe_failure(error).reason) from error
        yield Context(
            engine=engine,
            claims=claims,
            heartbeats=heartbeats,
            redis=redis,
            worker_no=registered.worker_no,
            worker_id=worker_id,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            reconcile_seconds=settings.reconcile_seconds,
            shutdown_seconds=settings.shutdown_seconds,
            idempotency_hours=settings.idempotency_hours,
            concurrency=settings.worker_concurrency,
            providers=serving.providers,
            pool_of=serving.pool_of,
            limits=serving.limits,
            instant_pools=serving.instant_pools,
            open_source=sources.open,
            log=log,
        )
    finally:
        for close in (serving.aclose, sources.aclose, redis.aclose, heartbeats.dispose, claims.dispose, engine.dispose):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()
