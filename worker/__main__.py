"""The composition root of a worker: its stores, its background services, and how it stops."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
import uvloop

from broker import envelopes
from broker.envelopes import Client
from broker.event_notices import EventNotices
from configuration.agreement import join_configuration
from configuration.content import Configuration
from db import workers
from db.connection_failures import describe_failure
from db.engine import REJECTED, UNAVAILABLE, Engine, connect, create_engine, probe
from db.kinds import register
from db.write_failures import NOT_WRITABLE, write_failure_reason
from runtime.databases import Reminder, unusable
from runtime.settings import Settings
from sources.configured import ConfiguredSources
from worker.background import Worker
from worker.configuration import Follower, Served, serving_of
from worker.context import Context
from worker.imports import runner as import_runner
from worker.inference import runner as inference_runner
from worker.providers.configured import Providers, Serving
from worker.runner import WorkerKind

KINDS = (inference_runner.KIND, import_runner.KIND)
"""The kinds of this release."""
CONNECTIONS = 8
CLAIM_SECONDS = 10.0
"""The limit of a claim, which takes milliseconds; after it the claim is repeated on another connection."""
RETRY_SECONDS = 1.0
"""The pause between two attempts to reach the database at the start."""
CLOSE_SECONDS = 1.0
"""The limit of closing each store: a database that hangs must not delay the end of the process."""


def main(settings: Settings, kinds: Sequence[WorkerKind] = KINDS) -> None:
    """Run a worker until SIGTERM or SIGINT, then release its unfinished batches."""
    uvloop.run(serve(settings, kinds))


async def serve(settings: Settings, kinds: Sequence[WorkerKind] = KINDS) -> None:
    """Run a worker in the current event loop until it is asked to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reminder = Reminder(settings.database_url or "")
    while await _is_reached(settings.database_url or "", reminder, stopping):
        try:
            async with open_context(settings, kinds) as (context, follower):
                reminder.reset()
                await Worker(context, follower, kinds).run(stopping)
                if follower.mismatch:
                    raise unusable(settings.database_url or "", follower.mismatch)
                return
        except NotEntered as error:
            reminder.warn(str(error))
            await _pause(stopping)


class NotEntered(Exception):
    """The database was reached, but registering the worker failed; it may succeed later."""


async def _is_reached(database_url: str, reminder: Reminder, stopping: asyncio.Event) -> bool:
    """Wait until the database is reachable or the worker is to stop; return whether it is reachable.

    Raises StartError if waiting can't help.
    """
    while not stopping.is_set() and (failure := await probe(database_url)):
        if not failure.heals:
            raise unusable(database_url, failure.reason)
        reminder.warn(failure.reason)
        await _pause(stopping)
    return not stopping.is_set()


async def _pause(stopping: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(RETRY_SECONDS):
            await stopping.wait()


@asynccontextmanager
async def open_context(settings: Settings, kinds: Sequence[WorkerKind]) -> AsyncIterator[tuple[Context, Follower]]:
    """Open the worker's stores and providers and register it; close them at the end.

    It serves the configuration in force, independent of its file. Raises NotEntered; and StartError if nothing is
    configured, or waiting can't help.
    """
    worker_id = f"worker-{secrets.token_hex(6)}"
    async with _open_stores(settings, worker_id) as stores:
        providers = Providers(settings)
        sources = ConfiguredSources(settings.data_dir)

        def serve(configuration: Configuration) -> Serving:
            return serving_of(settings, providers, sources, configuration)

        try:
            served, worker_no = await _enter(stores.engine, settings, kinds, worker_id=worker_id, serve=serve)
            context = Context(
                engine=stores.engine,
                claims=stores.claims,
                heartbeats=stores.heartbeats,
                redis=stores.redis,
                worker_no=worker_no,
                worker_id=worker_id,
                lease_seconds=settings.lease_seconds,
                heartbeat_seconds=settings.heartbeat_seconds,
                reconcile_seconds=settings.reconcile_seconds,
                shutdown_seconds=settings.shutdown_seconds,
                idempotency_hours=settings.idempotency_hours,
                concurrency=settings.worker_concurrency,
                served=served,
                open_source=sources.open,
                log=structlog.stdlib.get_logger().bind(worker=worker_id),
            )
            yield context, Follower(stores.engine, served, serve)
        finally:
            await _close(providers.aclose, sources.aclose)


@dataclass(frozen=True, slots=True)
class _Stores:
    """Connections for work, for claims, for heartbeats, and to Redis."""

    engine: Engine
    claims: Engine
    heartbeats: Engine
    redis: Client


@asynccontextmanager
async def _open_stores(settings: Settings, worker_id: str) -> AsyncIterator[_Stores]:
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("A worker needs BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL.")
    redis = envelopes.connect(settings.redis_url)
    notices = EventNotices(redis)
    engine = create_engine(
        settings.database_url, size=CONNECTIONS, pinned_plans=True, name=worker_id, on_events=notices.note
    )
    claims = create_engine(
        settings.database_url,
        size=2,
        pinned_plans=True,
        waits_for_disk=False,
        command_seconds=CLAIM_SECONDS,
        name=worker_id,
        on_events=notices.note,
    )
    heartbeats = create_engine(settings.database_url, size=2, pinned_plans=True, name=worker_id)
    try:
        yield _Stores(engine, claims, heartbeats, redis)
    finally:
        await _close(notices.aclose, redis.aclose, heartbeats.dispose, claims.dispose, engine.dispose)


async def _close(*closes: Callable[[], Awaitable[None]]) -> None:
    for close in closes:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await close()


async def _enter(
    engine: Engine,
    settings: Settings,
    kinds: Sequence[WorkerKind],
    *,
    worker_id: str,
    serve: Callable[[Configuration], Serving],
) -> tuple[Served, int]:
    """Register the worker; return its configuration and its number. Raises as `open_context`."""
    try:
        configuration = await join_configuration(engine, settings, by=f"worker on {socket.gethostname()}")
        served = Served(serve(configuration))
        async with connect(engine) as connection:
            await register(connection, [kind.stored for kind in kinds])
            registered = await workers.register(
                connection,
                worker_id=worker_id,
                role="worker",
                pid=os.getpid(),
                host=socket.gethostname(),
                standing=served.now.standing,
            )
    except (*UNAVAILABLE, *REJECTED) as error:
        failure = describe_failure(error)
        if not failure.heals:
            raise unusable(settings.database_url or "", failure.reason) from error
        is_reached = isinstance(error, tuple(NOT_WRITABLE))
        raise NotEntered(write_failure_reason(error) if is_reached else failure.reason) from error
    return served, registered.worker_no
