"""Downloads of slow clients: at another tenant's cost at no pace, and at their own tenant's within bounds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from api.authentication import Authenticator
from api.download_places import AT_ONCE, DownloadPlaces
from api.downloads import Downloads
from api.execution_files import NDJSON
from db.engine import Engine, create_engine
from tests.support.access import bearer, make_key, make_tenant
from tests.support.bounded_server import passed
from tests.support.job_seeds import Seeds, answer_all
from tests.support.reading_app import replace_services
from tests.support.served_app import SlowClient, serve_app
from tests.support.waiting import eventually_async

KB = 1000
PACE_SECONDS = 1.0
LAST_CHUNK = b"\r\n0\r\n\r\n"


@pytest.fixture
async def download_engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=AT_ONCE)
    yield engine
    await engine.dispose()


@dataclass(frozen=True)
class Stage:
    """An API that bounds downloads, and two tenants, each with a key and a job of 10 MB."""

    url: str
    http: httpx2.AsyncClient
    engine: Engine
    paths: tuple[str, str]
    headers: tuple[dict[str, str], dict[str, str]]

    async def download(self, tenant: int) -> httpx2.Response:
        """Download as fast as it goes."""
        return await self.http.get(self.paths[tenant], headers=self.headers[tenant])

    def slow(self, tenant: int, buffer: int = 65536) -> SlowClient:
        """A client of a download that takes little by itself; with less it would wait for the system's timers."""
        client = SlowClient(self.url, self.paths[tenant], **self.headers[tenant], Connection="close")
        client.buffer = buffer
        return client

    async def all_in(self, count: int) -> None:
        """Wait until so many downloads have a connection to PostgreSQL."""

        async def look() -> bool:
            in_use: int = self.engine.sync_engine.pool.checkedout()  # type: ignore[attr-defined]
            return in_use == count

        await eventually_async(look, what=f"{count} downloads")


@asynccontextmanager
async def staged(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, engine: Engine, places: DownloadPlaces
) -> AsyncIterator[Stage]:
    """Serve the app with keys and these places."""
    replace_services(
        reader, authenticator=Authenticator(seeds.engine, None), downloads=Downloads(engine, places, page_seconds=30)
    )
    paths, headers = [], []
    for name in ("acme", "other"):
        tenant_no = await make_tenant(rows, name)
        job = await seeds.submit(tenant_no=tenant_no, questions=[f"{n}?" for n in range(100)])
        await seeds.plan()
        await answer_all(rows, job, "x" * 100_000)
        paths.append(f"/jobs/{job.id}/executions")
        headers.append({**bearer(await make_key(rows, tenant=name)), "Accept": NDJSON.media_type})
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        httpx2.AsyncClient(base_url=url, timeout=60) as http,
    ):
        yield Stage(url, http, engine, (paths[0], paths[1]), (headers[0], headers[1]))


class Reading:
    """A client that takes so many bytes a second, as far as they come."""

    def __init__(self, client: SlowClient, bytes_per_second: int) -> None:
        self.received = 0
        self.end = b""
        self._client, self._pace = client, bytes_per_second
        self._began = time.monotonic()

    async def run(self) -> None:
        """Read to the end."""
        while True:
            await eventually_async(self._is_due)
            due = self._due()
            while self.received < due:
                part = await self._client.read(min(due - self.received, 65536))
                if not part:
                    return
                self.received += len(part)
                self.end = (self.end + part)[-len(LAST_CHUNK) :]

    async def has_ended(self) -> bool:
        """Whether it read the end of the file."""
        return self.end == LAST_CHUNK

    async def _is_due(self) -> bool:
        return self._due() > self.received

    def _due(self) -> int:
        return int((time.monotonic() - self._began) * self._pace)


@asynccontextmanager
async def reading(stage: Stage, tenant: int, count: int, pace: int, *, others: int = 0) -> AsyncIterator[list[Reading]]:
    """So many clients of a tenant's downloads that have begun, each at a pace, beside others."""
    async with AsyncExitStack() as stack:
        readings = [Reading(await stack.enter_async_context(stage.slow(tenant)), pace) for _ in range(count)]
        tasks = [asyncio.create_task(each.run()) for each in readings]
        try:
            await stage.all_in(others + count)
            yield readings
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("pace", [20 * KB, 60 * KB, 400 * KB, 1000 * KB])
async def test_one_tenant_does_not_keep_another_waiting(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine, pace: int
) -> None:
    places = DownloadPlaces(pace_seconds=PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        reading(stage, 0, AT_ONCE, pace),
    ):
        with capture_logs() as logs:
            answer = await stage.download(1)
        assert answer.status_code == 200
        assert len(answer.content.splitlines()) == 100
        gave_way = [line["reason"] for line in logs if line["event"] == "download_abandoned"]
        assert gave_way == ["place_needed"]


async def test_tenants_get_as_many_places(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    places = DownloadPlaces(4, pace_seconds=PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        reading(stage, 0, 4, 400 * KB),
    ):
        with capture_logs() as logs:
            async with AsyncExitStack() as stack:
                theirs = [await stack.enter_async_context(stage.slow(1)) for _ in range(4)]
                answers = [await client.read(12) for client in theirs]
        assert answers[:2] == [b"HTTP/1.1 200"] * 2
        # Those two don't read, so that the others' turn comes at their cost, and not at the first tenant's.
        assert [line.get("reason") for line in logs].count("place_needed") == 2


async def test_a_slow_client_of_a_tenant_with_few_places_goes_on(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    places = DownloadPlaces(3, pace_seconds=PACE_SECONDS, deadline_seconds=3 * PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        reading(stage, 1, 1, 60 * KB),
        reading(stage, 0, 2, 5000 * KB, others=1),
    ):
        with capture_logs() as logs:
            answers = await asyncio.gather(*(stage.download(0) for _ in range(4)))
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert not [line for line in logs if line["event"] == "download_abandoned"]


@pytest.mark.parametrize(
    ("pace", "waiting", "gives_way"),
    [(9 * KB, 1, True), (60 * KB, 1, True), (400 * KB, 1, False), (400 * KB, 4, True), (2000 * KB, 4, False)],
)
async def test_the_more_downloads_of_a_tenant_wait_the_faster_its_clients_have_to_be(
    reader: httpx2.AsyncClient,
    seeds: Seeds,
    rows: Any,
    download_engine: Engine,
    *,
    pace: int,
    waiting: int,
    gives_way: bool,
) -> None:
    places = DownloadPlaces(2, pace_seconds=PACE_SECONDS, deadline_seconds=3 * PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        reading(stage, 0, 2, pace),
    ):
        with capture_logs() as logs:
            answers = await asyncio.gather(*(stage.download(0) for _ in range(waiting)))
        reasons = {line["reason"] for line in logs if line["event"] == "download_abandoned"}
        assert reasons == ({"client_slow"} if gives_way else set())
        statuses = {answer.status_code for answer in answers}
        assert statuses == ({200} if gives_way else {503})
        for answer in answers:
            assert answer.status_code == 200 or int(answer.headers["Retry-After"]) > 0


async def test_what_fills_buffers_is_not_a_clients_pace(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    places = DownloadPlaces(1, pace_seconds=2 * PACE_SECONDS, deadline_seconds=2 * PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        stage.slow(0, buffer=2**20),  # reads nothing, and takes 2 MB at once
    ):
        await stage.all_in(1)
        await eventually_async(passed(2.5 * PACE_SECONDS))
        assert (await stage.download(0)).status_code == 200


async def test_a_client_that_is_not_the_slowest_gets_its_file(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    places = DownloadPlaces(2, pace_seconds=PACE_SECONDS)
    async with (
        staged(reader, seeds, rows, download_engine, places) as stage,
        reading(stage, 0, 1, 2000 * KB) as [fast],
        reading(stage, 0, 1, 20 * KB, others=1) as [slow],
    ):
        assert (await stage.download(0)).status_code == 200
        await eventually_async(fast.has_ended, seconds=30)
        assert not await slow.has_ended()
