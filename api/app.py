"""The composition root of the API: its stores, its background services and its routes."""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx2
import structlog
from fastapi import FastAPI

from api import downloads, errors, import_kind, inference_kind
from api.activity import ActivityView
from api.authentication import Authenticator
from api.describing import SERVERS, TAGS, describe, serve_description
from api.download_places import DownloadPlaces
from api.event_feed import EventSignal
from api.event_streams import EventStreams
from api.fair_places import FairPlaces
from api.fleet import FleetView
from api.idempotent_actions import AT_ONCE, AT_ONCE_OF_A_TENANT, MOST_WAITING_OF_A_TENANT
from api.job_waits import JobWaits
from api.kinds import Kinds
from api.large_pages import LargePages
from api.oidc import TokenVerifier, token_policy
from api.page_sessions import PageSessions
from api.pauses import Pauses
from api.pools import CONNECTIONS_OF_A_TENANT, MOST_WAITING_READS, open_pools
from api.rate_limits import RequestLimits
from api.readiness import Readiness
from api.refusal_log import RefusalLog
from api.registration import ConfigurationStanding, Registration
from api.role_check import RoleCheck
from api.routes import metrics, pages
from api.served_routes import add_routes
from api.services import Services
from api.single_sign_on import SingleSignOn
from broker import envelopes
from configuration.in_force import InForce, InForceReader
from db.engine import Engine
from db.shares import Shares
from domain.addresses import LOOPBACK_ONLY, read_hosts
from runtime.databases import Reminder
from runtime.errors import StartError
from runtime.settings import Auth, Settings, load_settings
from runtime.tasks import end_tasks
from sources.configured import ConfiguredSources
from submissions.announcing import Announcer
from submissions.service import Submissions

log = structlog.stdlib.get_logger()

VERSION = "0.1.0"
KINDS = Kinds((inference_kind.KIND, import_kind.KIND))
"""The kinds of this release."""


def create_app(kinds: Kinds = KINDS) -> FastAPI:
    """Return the app for these kinds. It reads settings and opens stores when it starts, not before."""
    app = FastAPI(
        title="Breakwater",
        version=VERSION,
        description=(
            "A job service that records no result twice, takes none from the wrong place, and loses no accepted job."
        ),
        servers=SERVERS,
        openapi_tags=TAGS,
        lifespan=partial(_lifespan, kinds),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    serve_description(app)
    add_routes(app)
    pages.mount_static(app)
    metrics.install(app)
    errors.install(app)
    describe(app, kinds)
    return app


@asynccontextmanager
async def _lifespan(kinds: Kinds, app: FastAPI) -> AsyncIterator[None]:
    # Loaded modules stay: collections needn't walk them again. A body of 345,000 lists took 0.37 s to parse, most
    # of it in collections; it takes 0.06 s after this (2026-11-23).
    gc.collect()
    gc.freeze()
    settings = load_settings()
    app.state.allowed_hosts = read_hosts(settings.allowed_hosts) if settings.allowed_hosts else LOOPBACK_ONLY
    async with _opened(settings, kinds) as services:
        app.state.services = services
        await services.pauses.start()
        tasks = [asyncio.create_task(_supervise(each)) for each in _background_services(services)]
        try:
            yield
        finally:
            await end_tasks(tasks)
            await services.refusal_log.close()


@asynccontextmanager
async def _opened(settings: Settings, kinds: Kinds) -> AsyncIterator[Services]:
    """Open the stores and the services that use them; close the stores at the end."""
    database_url, redis_url = _urls(settings)
    redis = envelopes.connect(redis_url)
    issuer_client = _issuer_client(settings)
    tokens = _token_verifier(settings, issuer_client)
    sign_on = None if tokens is None or settings.oidc_client_id is None else SingleSignOn(tokens, settings)
    event_signal = EventSignal(redis)
    pools = open_pools(database_url, on_events=event_signal.note)
    engine = pools.requests
    sources = ConfiguredSources(settings.data_dir)
    is_shared, beat_seconds = settings.auth is not Auth.OFF, settings.heartbeat_seconds
    registration = Registration(pools.heartbeat, beat_seconds, Reminder(database_url), tuple(kinds.stored.values()))
    announcer = Announcer(redis)
    fleet = FleetView(engine, redis, settings, version=VERSION)
    in_force = _in_force_reader(engine, settings, registration, ConfigurationStanding(settings, sources))

    def note_created(job_nos: Sequence[int]) -> None:
        registration.note_commit()
        announcer.announce(job_nos)

    try:
        yield Services(
            settings=settings,
            engine=engine,
            shares=Shares(CONNECTIONS_OF_A_TENANT, most_waiting=MOST_WAITING_READS),
            authenticator=_authenticator(pools.look_ups, settings, tokens),
            role_check=None if settings.auth is Auth.OFF else RoleCheck(pools.look_ups),
            request_limits=RequestLimits(pools.look_ups),
            page_sessions=PageSessions(engine, settings),
            single_sign_on=sign_on,
            redis=redis,
            registration=registration,
            refusal_log=RefusalLog(engine, worker_no=registration.worker_no, is_keyed=settings.auth is Auth.KEYS),
            worker_no=registration.worker_no,
            event_streams=EventStreams(event_signal, is_shared=is_shared),
            job_waits=JobWaits(engine, event_signal, is_shared=is_shared),
            in_force=in_force,
            pauses=Pauses(engine, redis, in_force, announcer, refresh_seconds=beat_seconds),
            submissions=Submissions(
                engine, settings, in_force, worker_no=registration.worker_no, on_created=note_created, kinds=kinds.specs
            ),
            announcer=announcer,
            action_places=FairPlaces(AT_ONCE),
            action_shares=Shares(AT_ONCE_OF_A_TENANT, most_waiting=MOST_WAITING_OF_A_TENANT),
            kinds=kinds,
            previews=kinds.open_previews(sources),
            downloads=downloads.Downloads(pools.downloads, DownloadPlaces()),
            large_pages=LargePages(),
            fleet=fleet,
            activity=ActivityView(engine, redis, settings, fleet),
            readiness=Readiness(pools.probes, redis),
        )
    finally:
        await registration.stop()
        await sources.aclose()
        clients = (each for each in (sign_on, issuer_client) if each is not None)
        for store in (event_signal, *clients, redis):
            await store.aclose()
        await pools.dispose()


def _issuer_client(settings: Settings) -> httpx2.AsyncClient | None:
    """Return a client for the keys of the issuer of access tokens, if there is one.

    To load the authorities that a client trusts takes 20 ms of CPU, and most APIs have no issuer.
    """
    if settings.auth is Auth.OFF or token_policy(settings) is None:
        return None
    return httpx2.AsyncClient(trust_env=False)


def _token_verifier(settings: Settings, issuer_client: httpx2.AsyncClient | None) -> TokenVerifier | None:
    policy = token_policy(settings)
    return None if policy is None or issuer_client is None else TokenVerifier(policy, issuer_client)


def _authenticator(engine: Engine, settings: Settings, tokens: TokenVerifier | None) -> Authenticator | None:
    if settings.auth is Auth.OFF:
        return None
    return Authenticator(engine, tokens, idle_seconds=settings.session_idle_seconds, issuer=settings.oidc_issuer)


def _in_force_reader(
    engine: Engine, settings: Settings, registration: Registration, standing: ConfigurationStanding
) -> InForceReader:
    """Return the reader of the configuration in force; it enters each one in the register of processes."""

    def show(in_force: InForce) -> None:
        registration.standing = standing.read(in_force.configuration)

    return InForceReader(engine, settings, by=f"api on {socket.gethostname()}", on_read=show)


def _background_services(services: Services) -> Sequence[Callable[[], Awaitable[None]]]:
    return (
        services.submissions.run,
        services.refusal_log.run,
        services.announcer.run,
        services.registration.beat,
        services.pauses.run,
        services.pauses.listen,
        services.event_streams.signal.listen,
        services.job_waits.run,
        *(each.run for each in (services.authenticator, services.role_check) if each is not None),
    )


async def _supervise(run: Callable[[], Awaitable[None]]) -> None:
    """Run until cancelled. If it fails, end the process as on SIGTERM: requests would wait for it for ever."""
    try:
        await run()
    except Exception:
        log.exception("duty_failed", duty=run.__qualname__)
        signal.raise_signal(signal.SIGTERM)


def _urls(settings: Settings) -> tuple[str, str]:
    if settings.database_url is None or settings.redis_url is None:
        raise StartError(
            "Set BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL, or start everything by `breakwater run`."
        )
    return settings.database_url, settings.redis_url
