"""The composition root of the API: its stores, its duties and its routes."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI

from api import downloads, errors
from api.acting import AT_ONCE
from api.announcing import Announcer
from api.import_previews import ImportPreviews
from api.pausing import InForce, Pauses
from api.refusals import Refusals
from api.registration import Agreeing, Registration
from api.routes import (
    audit,
    controls,
    coordination,
    datasets,
    dead_letters,
    executions,
    job_views,
    jobs,
    metrics,
    operations,
    pages,
    probes,
    providers,
    questions,
    queue,
    records,
    regions,
    rejects,
    stories,
    waves,
)
from api.storing import Store
from api.submitting import Submitter
from broker import envelopes
from db.engine import create_engine
from runtime.databases import Reminder
from runtime.errors import StartError
from runtime.settings import Settings, load_settings
from runtime.tasks import end_tasks
from sources.configured import ConfiguredSources

log = structlog.stdlib.get_logger()

VERSION = "0.1.0"
CONNECTIONS = 10
NOUNS = (
    jobs,
    job_views,
    executions,
    waves,
    coordination,
    stories,
    audit,
    controls,
    datasets,
    dead_letters,
    regions,
    providers,
    questions,
    operations,
    queue,
    records,
    rejects,
    probes,
    metrics,
    pages,
)


def create_app() -> FastAPI:
    """Return the app. Settings are read and stores are opened when it starts, not before."""
    app = FastAPI(
        title="Breakwater",
        version=VERSION,
        description="A job service in which nothing runs twice, runs in the wrong place, or gets lost.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for noun in NOUNS:
        app.include_router(noun.router)
    pages.mount_static(app)
    metrics.install(app)
    errors.install(app)
    app.state.in_force = None
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # What is loaded by now stays: collections needn't walk it again. A body of 345,000 lists took 0.37 s to parse, most
    # of it in collections; it takes 0.06 s after this (2026-11-23).
    gc.collect()
    gc.freeze()
    settings = load_settings()
    database_url, redis_url = _urls(settings)
    engine = create_engine(database_url, size=CONNECTIONS, name="breakwater-api")
    download_engine = create_engine(
        database_url,
        size=downloads.AT_ONCE,
        idle_seconds=downloads.IDLE_SECONDS,
        name="breakwater-api-downloads",
    )
    redis = envelopes.connect(redis_url)
    announcer = Announcer(redis)
    heartbeat_engine = create_engine(database_url, size=1, name="breakwater-api-heartbeat")
    registration = Registration(heartbeat_engine, settings.heartbeat_seconds, Reminder(database_url))

    def created(job_nos: Sequence[int]) -> None:
        registration.note_commit()
        announcer.announce(job_nos)

    store = Store(
        engine,
        worker_no=registration.worker_no,
        keep_hours=settings.idempotency_hours,
        recent_seconds=settings.dedup_seconds,
        backlog=settings.backlog,
    )
    submitter = Submitter(store, on_created=created)
    refusals = Refusals(engine, worker_no=registration.worker_no)
    sources = ConfiguredSources(settings.data_dir)
    agreeing = Agreeing(settings, sources)
    keep = partial(_keep, app, registration, agreeing)
    pauses = Pauses(engine, redis, settings, refresh_seconds=settings.heartbeat_seconds, on_read=keep)
    submitter.follow(partial(_follow, app, pauses), refusals)
    app.state.settings = settings
    app.state.pauses = pauses
    app.state.engine = engine
    app.state.redis = redis
    app.state.worker_no = registration.worker_no
    app.state.registration = registration
    app.state.announcer = announcer
    app.state.submitter = submitter
    app.state.refusals = refusals
    app.state.acting_room = asyncio.Semaphore(AT_ONCE)
    app.state.import_previews = ImportPreviews(sources)
    app.state.downloads = downloads.Downloads(download_engine)
    try:
        await pauses.start()
        running = (submitter.run, refusals.run, announcer.run, registration.beat, pauses.run, pauses.listen)
        tasks = [asyncio.create_task(_carry(duty)) for duty in running]
        try:
            yield
        finally:
            await end_tasks(tasks)
    finally:
        await registration.stop()
        await sources.aclose()
        await redis.aclose()
        await heartbeat_engine.dispose()
        await download_engine.dispose()
        await engine.dispose()


def _keep(app: FastAPI, registration: Registration, agreeing: Agreeing, now: InForce) -> None:
    """Serve this from now on, and say so in the register of processes."""
    app.state.in_force = now
    registration.standing = agreeing.standing_of(now.configuration)


async def _follow(app: FastAPI, pauses: Pauses) -> InForce:
    """Read the configuration in force and return it."""
    await pauses.follow()
    now: InForce = app.state.in_force
    return now


async def _carry(duty: Callable[[], Awaitable[None]]) -> None:
    """Do a duty until cancelled. If it fails the process ends, as on SIGTERM: requests would wait for it for ever."""
    try:
        await duty()
    except Exception:
        log.exception("duty_failed", duty=duty.__qualname__)
        signal.raise_signal(signal.SIGTERM)


def _urls(settings: Settings) -> tuple[str, str]:
    if settings.database_url is None or settings.redis_url is None:
        raise StartError(
            "Set BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL, or start everything by `breakwater run`."
        )
    return settings.database_url, settings.redis_url
