"""An app of the routes that read, in the test's own process, and lists followed to their end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI

from api import errors
from api.acting import AT_ONCE
from api.announcing import Announcer
from api.downloads import Downloads
from api.pausing import Pauses
from api.registration import Registration
from api.routes import (
    audit,
    controls,
    coordination,
    datasets,
    dead_letters,
    executions,
    job_views,
    metrics,
    operations,
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
from broker.envelopes import Client
from configuration.content import Content
from db.engine import Engine
from runtime.databases import Reminder
from runtime.settings import Settings
from tests.support.configurations import commit

ROUTERS = [
    module.router
    for module in (
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
    )
]


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

    app = FastAPI(title="test", version="9.9.9", docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    metrics.install(app)
    errors.install(app)
    app.state.engine = engine
    app.state.downloads = Downloads(engine)
    app.state.redis = redis
    app.state.worker_no = own_number
    app.state.registration = Registration(engine, 5, Reminder(""))
    app.state.registration.unwritten = None
    app.state.settings = settings or Settings()
    app.state.in_force = None
    app.state.acting_room = asyncio.Semaphore(AT_ONCE)
    app.state.announcer = Announcer(redis)
    if content is not None:
        await commit(engine, content)
    app.state.pauses = Pauses(
        engine, redis, app.state.settings, refresh_seconds=5, on_read=lambda now: setattr(app.state, "in_force", now)
    )
    await app.state.pauses.start()  # which is patient where the database is away
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


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
