"""The composition root of a worker: its stores, its duties, and how it stops."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import structlog
import uvloop

from broker import envelopes
from db import batches, workers
from db.batches import PoolKey
from db.engine import connect, create_engine, in_transaction
from db.pauses import configured_pauses, enter_pauses
from domain.plan import Pool
from runtime.settings import Settings, registry
from worker.context import Context
from worker.duties import Worker
from worker.providers.echo import Echo
from worker.providers.protocol import Provider

CONNECTIONS = 8
CLOSE_SECONDS = 1.0
"""For each store at the end: a database that hangs mustn't hold up the process."""
INSTANT_BATCH_CELLS = 250
CALLED_BATCH_CELLS = 10


def main(settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT, then hand back what is unfinished."""
    uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Run one worker in the current event loop until it is told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_context(settings) as context:
        await Worker(context).run(stopping)


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open the worker's stores and enter it into the register; close them at the end."""
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("A worker needs BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL.")
    worker_id = f"worker-{secrets.token_hex(6)}"
    engine = create_engine(settings.database_url, size=CONNECTIONS, pinned_plans=True, name=worker_id)
    claims = create_engine(settings.database_url, size=2, pinned_plans=True, waits_for_disk=False, name=worker_id)
    redis = envelopes.connect(settings.redis_url)
    log = structlog.stdlib.get_logger().bind(worker=worker_id)
    try:
        async with connect(engine) as connection:
            registered = await workers.register(
                connection, worker_id=worker_id, role="worker", pid=os.getpid(), host=socket.gethostname()
            )
            await enter_pauses(connection, configured_pauses(registry(settings)))
        providers, pool_of = _providers(settings)
        limits, instant_pools = _pools(settings, providers)
        await in_transaction(engine, lambda c: batches.enter_pools(c, limits))
        yield Context(
            engine=engine,
            claims=claims,
            redis=redis,
            worker_no=registered.worker_no,
            worker_id=worker_id,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            reconcile_seconds=settings.reconcile_seconds,
            shutdown_seconds=settings.shutdown_seconds,
            idempotency_hours=settings.idempotency_hours,
            concurrency=settings.worker_concurrency,
            providers=providers,
            pool_of=pool_of,
            limits=limits,
            instant_pools=instant_pools,
            log=log,
        )
    finally:
        for close in (redis.aclose, claims.dispose, engine.dispose):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()


def _providers(settings: Settings) -> tuple[Mapping[str, Provider], Callable[[str], Pool]]:
    """Return the providers by name, and who serves a model's provider name: `echo` while none is configured."""
    echo = Echo(delay_seconds=settings.echo_delay_seconds, failure_rate=settings.echo_failure_rate)
    if not settings.file.providers:
        pool = _pool(echo.name, echo)
        return {echo.name: echo}, lambda _name: pool
    providers = dict.fromkeys(settings.file.providers, echo)
    pools = {name: _pool(name, provider) for name, provider in providers.items()}
    return providers, pools.__getitem__


def _pools(
    settings: Settings, providers: Mapping[str, Provider]
) -> tuple[Mapping[PoolKey, int | None], tuple[PoolKey, ...]]:
    """Return the pools whose calls are counted, with their limits, and the others."""
    limits: dict[PoolKey, int | None] = {}
    instant = []
    for name, provider in providers.items():
        configured = settings.file.providers.get(name)
        for region in registry(settings).regions:
            if provider.makes_calls:
                limits[name, region.name] = configured.max_concurrent if configured else None
            else:
                instant.append((name, region.name))
    return limits, tuple(instant)


def _pool(name: str, provider: Provider) -> Pool:
    return Pool(name, CALLED_BATCH_CELLS if provider.makes_calls else INSTANT_BATCH_CELLS)
