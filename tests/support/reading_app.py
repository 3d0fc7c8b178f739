"""An app of the routes that read, in the test's own process, and lists followed to their end."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
from fastapi import FastAPI

from api import errors
from api.activity import ActivityView
from api.app import KINDS
from api.describing import serve_description
from api.download_places import DownloadPlaces
from api.downloads import Downloads
from api.event_feed import EventSignal
from api.event_streams import EventStreams
from api.fair_places import FairPlaces
from api.fleet import FleetView
from api.idempotent_actions import AT_ONCE, AT_ONCE_OF_A_TENANT, MOST_WAITING_OF_A_TENANT
from api.job_waits import JobWaits
from api.large_pages import LargePages
from api.page_sessions import PageSessions
from api.pauses import Pauses
from api.rate_limits import RequestLimits
from api.readiness import Readiness
from api.refusal_log import RefusalLog
from api.registration import Registration
from api.routes import metrics, pages
from api.served_routes import add_routes
from api.services import Services
from broker.envelopes import Client
from configuration.content import Content
from configuration.in_force import InForceReader
from db.engine import Engine
from db.shares import Shares
from runtime.databases import Reminder
from runtime.settings import Settings
from sources.configured import ConfiguredSources
from submissions.announcing import Announcer
from submissions.service import Submissions
from tests.support.configurations import commit

_idle: list[FastAPI] = []
"""Apps that no test uses: FastAPI works out an app's routes at its first request, which takes a quarter of a second."""


@asynccontextmanager
async def reading_app(
    engine: Engine,
    redis: Client,
    worker_no: int,
    *,
    content: Content | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the routes that read, and those that pause, in this process; `content` is applied first."""

    async def own_number() -> int:
        return worker_no

    if content is not None:
        await commit(engine, content)
    app = _idle.pop() if _idle else _composed()
    routes = len(app.routes)
    app.state.services = _services(engine, redis, settings or Settings(), own_number, app.version)
    await app.state.services.pauses.start()  # which waits while the database is unavailable
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1", verify=False
    ) as client:
        client.app = app  # type: ignore[attr-defined]
        yield client
    if len(app.routes) == routes:
        _idle.append(app)


def _composed() -> FastAPI:
    app = FastAPI(title="test", version="9.9.9", openapi_url=None, docs_url=None, redoc_url=None)
    serve_description(app)
    add_routes(app)
    pages.mount_static(app)
    metrics.install(app)
    errors.install(app)
    return app


def _services(
    engine: Engine, redis: Client, settings: Settings, worker_no: Callable[[], Awaitable[int]], version: str
) -> Services:
    registration = Registration(engine, 5, Reminder(""), tuple(KINDS.stored.values()))
    registration.unwritten = None
    in_force = InForceReader(engine, settings, by="a test")
    announcer = Announcer(redis)
    signal = EventSignal(redis)
    fleet = FleetView(engine, redis, settings, version=version)
    return Services(
        settings=settings,
        engine=engine,
        shares=Shares(4, most_waiting=200),
        authenticator=None,
        role_check=None,
        request_limits=RequestLimits(engine),
        page_sessions=PageSessions(engine, settings),
        single_sign_on=None,
        redis=redis,
        registration=registration,
        refusal_log=RefusalLog(engine, worker_no=worker_no, is_keyed=False),
        worker_no=worker_no,
        event_streams=EventStreams(signal),
        job_waits=JobWaits(engine, signal),
        in_force=in_force,
        pauses=Pauses(engine, redis, in_force, announcer, refresh_seconds=5),
        submissions=Submissions(engine, settings, in_force, worker_no=worker_no, on_created=announcer.announce),
        announcer=announcer,
        action_places=FairPlaces(AT_ONCE),
        action_shares=Shares(AT_ONCE_OF_A_TENANT, most_waiting=MOST_WAITING_OF_A_TENANT),
        kinds=KINDS,
        previews=KINDS.open_previews(ConfiguredSources(settings.data_dir)),
        downloads=Downloads(engine, DownloadPlaces()),
        large_pages=LargePages(),
        fleet=fleet,
        activity=ActivityView(engine, redis, settings, fleet),
        readiness=Readiness(engine, redis),
    )


def replace_services(reader: httpx2.AsyncClient, **changes: Any) -> None:
    """Let the reader's app use these services from now on, in place of its own."""
    state = reader.app.state  # type: ignore[attr-defined]
    state.services = replace(state.services, **changes)


async def every_item(client: httpx2.AsyncClient, path: str, *, limit: int) -> list[Any]:
    """Follow a list's `Link`s to its end; each page but the last is full."""
    items: list[Any] = []
    url = str(httpx2.URL(path).copy_merge_params({"limit": limit}))
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        page: Sequence[Any] = answer.json()["items"]
        items += page
        assert bool(answer.json()["next_cursor"]) == ("next" in answer.links)
        if "next" not in answer.links:
            break
        assert len(page) == limit
        url = answer.links["next"]["url"]
    return items
