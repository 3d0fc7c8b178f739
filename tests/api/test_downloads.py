"""All cells of a job as a file: complete or visibly not, of one moment, in bounded memory, at no others' cost."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import orjson
import pytest
from structlog.testing import capture_logs

from api.bounded_connections import refused
from api.download_places import DownloadPlaces
from api.downloads import Downloads
from api.execution_files import COLUMNS, CSV, NDJSON
from db.engine import Engine, create_engine
from db.reading import PAGE_BYTES
from tests.support.job_seeds import Seeded, Seeds, answer_all, completed, failed, retried
from tests.support.reading_app import every_item, replace_services
from tests.support.served_app import SlowClient, serve_app
from tests.support.waiting import eventually_async

KINDS = [NDJSON.media_type, CSV.media_type]
LAST_CHUNK = b"\r\n0\r\n\r\n"
END_DOWNLOADS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND pid <> $1 AND datname = current_database()
"""


@pytest.fixture
async def download_engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=2)
    yield engine
    await engine.dispose()


async def download(reader: httpx2.AsyncClient, path: str, media_type: str = NDJSON.media_type) -> httpx2.Response:
    return await reader.get(path, headers={"Accept": media_type})


async def mixed(seeds: Seeds) -> Seeded:
    """A job with cells in many states."""
    seeds.batch_cells = 2
    job = await seeds.submit(models=["a", "b"], regions=["US", "EU"], questions=[f"{n}?" for n in range(5)])
    await seeds.plan()
    first, second, third, fourth = await seeds.claim(cells=8)
    await seeds.record(completed(first, output="=4"), failed(second), retried(third), completed(fourth, output=""))
    await seeds.claim(cells=1)
    return job


async def big(seeds: Seeds, rows: Any, *, cells: int, output: int) -> str:
    """The path of a job whose answers are of so many bytes each."""
    assert cells % 100 == 0
    job = await seeds.submit(models=[f"m-{n}" for n in range(cells // 100)], questions=[f"{n}?" for n in range(100)])
    await seeds.plan()
    await answer_all(rows, job, "x" * output)
    return f"/jobs/{job.id}/executions"


def flattened(item: dict[str, Any]) -> dict[str, str]:
    """An item of the list as the CSV file has it."""
    error = item.pop("error") or {}
    item |= {f"error_{name}": error.get(name) for name in ("code", "detail", "retryable")}
    shown = {name: "" if item[name] is None else str(item[name]) for name in COLUMNS}
    for name in ("output_empty", "error_retryable", "simulated", "is_complete"):
        shown[name] = shown[name].lower()
    return shown


# What is in a file


@pytest.mark.parametrize(
    "query", ["", "status=completed", "status=running", "region=EU&model=b", "question=q-none", "model=a&status=failed"]
)
async def test_a_file_holds_the_items_of_the_list(reader: httpx2.AsyncClient, seeds: Seeds, query: str) -> None:
    path = f"/jobs/{(await mixed(seeds)).id}/executions?{query}"
    items = await every_item(reader, path, limit=3)
    lines = (await download(reader, path)).text.splitlines()
    assert [orjson.loads(line) for line in lines] == items
    records = csv.DictReader(io.StringIO((await download(reader, path, CSV.media_type)).text, newline=""), strict=True)
    read = [{**record, "output": record["output"].removeprefix("'")} for record in records]
    assert read == [flattened(item) for item in items]


@pytest.mark.parametrize(("media_type", "ending"), [(NDJSON.media_type, "ndjson"), (CSV.media_type, "csv")])
async def test_a_file_has_a_type_and_a_name(
    reader: httpx2.AsyncClient, seeds: Seeds, media_type: str, ending: str
) -> None:
    await seeds.submit(job_id="my:job.1")
    answer = await download(reader, "/jobs/my:job.1/executions", media_type)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Content-Disposition"] == f'attachment; filename="my-job.1-executions.{ending}"'
    assert (answer.headers["Vary"], answer.headers["X-Content-Type-Options"]) == ("Accept", "nosniff")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_job_without_cells_gives_an_empty_file(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    path = f"/jobs/{(await seeds.submit()).id}/executions"
    assert (await download(reader, path)).content == b""
    assert (await download(reader, path, CSV.media_type)).text == ",".join(COLUMNS) + "\r\n"


@pytest.mark.parametrize("output", [10, 200_000])
async def test_a_file_of_many_pages_is_complete(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, output: int
) -> None:
    path = await big(seeds, rows, cells=500, output=output)
    lines = [orjson.loads(line) for line in (await download(reader, path)).text.splitlines()]
    limit = min(100, PAGE_BYTES // output)
    assert [line["id"] for line in lines] == [item["id"] for item in await every_item(reader, path, limit=limit)]
    assert {len(line["output"]) for line in lines} == {output}


# What is asked for


async def test_the_accept_header_decides(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    path = f"/jobs/{(await mixed(seeds)).id}/executions"
    for accept, expected in {
        "*/*": "application/json",
        "text/html, */*;q=0.8": "application/json",
        "text/csv;q=0.9, application/json;q=0.8": "text/csv",
        "text/csv;q=0.1, application/x-ndjson;q=0.2": "application/x-ndjson",
    }.items():
        answer = await download(reader, path, accept)
        assert (accept, answer.headers["Content-Type"].partition(";")[0]) == (accept, expected)
        assert answer.headers["Vary"] == "Accept"
    two = await reader.get(path, headers=[("Accept", "text/html"), ("Accept", "text/csv")])
    assert two.headers["Content-Type"] == "text/csv; charset=utf-8"


async def test_other_types_are_not_acceptable(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    path = f"/jobs/{(await seeds.submit()).id}/executions"
    for accept in ("text/html", "application/xml, image/*", "text/csv;q=0", "*/*;q=0"):
        answer = await download(reader, path, accept)
        assert (accept, answer.status_code, answer.json()["code"]) == (accept, 406, "not_acceptable")
        assert answer.headers["Content-Type"] == "application/problem+json"
        [reason] = answer.json()["errors"]
        assert reason["parameter"] == "Accept"
        assert all(kind in reason["detail"] for kind in ("application/json", *KINDS))


@pytest.mark.parametrize("media_type", KINDS)
async def test_a_file_has_no_pages(reader: httpx2.AsyncClient, seeds: Seeds, media_type: str) -> None:
    path = f"/jobs/{(await mixed(seeds)).id}/executions"
    cursor = (await reader.get(f"{path}?limit=1")).json()["next_cursor"]
    for query, names in {
        "limit=50": ["limit"],
        f"cursor={cursor}": ["cursor"],
        f"limit=1&cursor={cursor}": ["limit", "cursor"],
    }.items():
        answer = await download(reader, f"{path}?{query}", media_type)
        assert (query, answer.status_code, answer.json()["code"]) == (query, 422, "not_with_downloads")
        assert [reason["parameter"] for reason in answer.json()["errors"]] == names


@pytest.mark.parametrize("media_type", KINDS)
async def test_a_file_refuses_the_same_parameters_as_a_list(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, media_type: str
) -> None:
    path = f"/jobs/{(await seeds.submit()).id}/executions"
    for query in ("region=mars", "status=done", "colour=red", "model=%00"):
        assert (query, (await download(reader, f"{path}?{query}", media_type)).status_code) == (query, 422)
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES (7, 'other')")
    await seeds.submit(job_id="theirs", tenant_no=7)
    for job_id in ("absent", "theirs", "a b", "%00"):
        answer = await download(reader, f"/jobs/{job_id}/executions", media_type)
        assert (job_id, answer.status_code, answer.json()["code"]) == (job_id, 404, "not_found")


# On its way


async def test_a_file_can_be_asked_about(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    path = await big(seeds, rows, cells=300, output=10)
    head = await reader.head(path, headers={"Accept": CSV.media_type})
    get = await download(reader, path, CSV.media_type)
    assert (head.status_code, head.content) == (200, b"")
    unsteady = {"x-request-id"}
    assert {name: value for name, value in head.headers.items() if name not in unsteady} == {
        name: value for name, value in get.headers.items() if name not in unsteady
    }
    assert (await reader.head("/jobs/absent/executions", headers={"Accept": CSV.media_type})).status_code == 404


async def test_nothing_is_read_for_whom_nothing_is_sent(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    path = await big(seeds, rows, cells=300, output=10)
    sent = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {
        "type": "http",
        "method": "HEAD",
        "path": path,
        "query_string": b"",
        "headers": [(b"accept", CSV.media_type.encode())],
    }
    await reader.app(scope, receive, send)  # type: ignore[attr-defined]
    assert sent == ["http.response.start", "http.response.body"]


async def test_an_error_in_the_middle_never_looks_like_the_end(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    path = await big(seeds, rows, cells=200, output=100_000)
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        SlowClient(url, path, Accept=NDJSON.media_type) as client,
    ):
        await client.read()
        await rows.execute(
            END_DOWNLOADS,
            rows.get_server_pid(),
        )
        rest = await client.read_all()
    assert 0 < len(rest) < 20_000_000
    assert not rest.endswith(LAST_CHUNK)


async def test_a_client_reports_a_file_that_was_cut(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    path = await big(seeds, rows, cells=200, output=100_000)
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        httpx2.AsyncClient(base_url=url) as client,
        client.stream("GET", path, headers={"Accept": CSV.media_type}) as answer,
    ):
        parts = answer.aiter_raw(4096)
        await anext(parts)
        await rows.execute(
            END_DOWNLOADS,
            rows.get_server_pid(),
        )
        with pytest.raises(httpx2.RemoteProtocolError):
            async for _ in parts:
                pass


async def test_a_slow_client_is_cut_and_its_connection_given_back(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=500, output=100_000)
    before = refused["download_cut_off"]
    replace_services(reader, downloads=Downloads(download_engine, DownloadPlaces(2), page_seconds=0.5))
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        SlowClient(url, path, Accept=NDJSON.media_type) as client,
    ):
        with capture_logs() as logs:
            await all_in(download_engine, 1)
            await all_in(download_engine, 0)
        assert [(line["event"], line["reason"]) for line in logs] == [("download_abandoned", "client_slow")]
        assert refused["download_cut_off"] == before + 1
        assert await rows.fetchval("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == 0
        assert not (await client.read_all()).endswith(LAST_CHUNK)


async def test_a_slow_client_gives_way_to_a_download_that_waits(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=500, output=100_000)
    small = f"/jobs/{(await seeds.submit()).id}/executions"
    replace_services(reader, downloads=Downloads(download_engine, DownloadPlaces(1, pace_seconds=0.2)))
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        httpx2.AsyncClient(base_url=url) as client,
        SlowClient(url, path, Accept=NDJSON.media_type) as slow,
    ):
        await all_in(download_engine, 1)
        with capture_logs() as logs:
            assert (await download(client, small)).status_code == 200
        assert [(line["event"], line["reason"]) for line in logs] == [("download_abandoned", "client_slow")]
        assert not (await slow.read_all()).endswith(LAST_CHUNK)


async def test_a_slow_client_goes_on_while_nobody_waits(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=100, output=100_000)
    replace_services(reader, downloads=Downloads(download_engine, DownloadPlaces(1, pace_seconds=0.2)))
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        SlowClient(url, path, Accept=NDJSON.media_type, Connection="close") as slow,
    ):
        await all_in(download_engine, 1)
        began = time.monotonic()
        await eventually_async(passed(began, 1.0))
        assert (await slow.read_all()).endswith(LAST_CHUNK)


async def test_a_client_that_goes_leaves_nothing_behind(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=500, output=100_000)
    replace_services(reader, downloads=Downloads(download_engine, DownloadPlaces(1)))
    async with serve_app(reader.app) as url:  # type: ignore[attr-defined]
        with capture_logs() as logs:
            async with SlowClient(url, path, Accept=NDJSON.media_type) as client:
                await client.read()
                await all_in(download_engine, 1)
            await all_in(download_engine, 0)
        assert [(line["event"], line["reason"]) for line in logs] == [("download_abandoned", "client_gone")]
        async with httpx2.AsyncClient(base_url=url) as patient:
            assert len((await download(patient, path)).text.splitlines()) == 500


async def test_one_more_download_than_there_is_room_for_is_refused_for_now(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=500, output=100_000)
    small = f"/jobs/{(await seeds.submit()).id}/executions"
    downloads = Downloads(download_engine, DownloadPlaces(2, deadline_seconds=0.2))
    replace_services(reader, downloads=downloads)
    async with (
        serve_app(reader.app) as url,  # type: ignore[attr-defined]
        httpx2.AsyncClient(base_url=url) as client,
        SlowClient(url, path, Accept=NDJSON.media_type),
    ):
        async with SlowClient(url, path, Accept=NDJSON.media_type):
            await all_in(download_engine, 2)
            refused = await download(client, small)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["Retry-After"]) > 0
            assert (await client.get(small)).status_code == 200
        await all_in(download_engine, 1)
        assert (await download(client, small)).status_code == 200


async def test_a_download_waits_a_little_for_room(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, download_engine: Engine
) -> None:
    path = await big(seeds, rows, cells=100, output=10)
    replace_services(reader, downloads=Downloads(download_engine, DownloadPlaces(1)))
    answers = await asyncio.gather(*(download(reader, path) for _ in range(8)))
    assert [len(answer.text.splitlines()) for answer in answers] == [100] * 8


def passed(began: float, seconds: float) -> Callable[[], Awaitable[bool]]:
    """Whether so many seconds have passed; nothing else tells that something goes on."""

    async def look() -> bool:
        return time.monotonic() - began > seconds

    return look


async def all_in(engine: Engine, count: int) -> None:
    """Wait until so many connections of the engine are in use."""

    async def look() -> bool:
        return engine.sync_engine.pool.checkedout() == count  # type: ignore[attr-defined]

    await eventually_async(look, what=f"{count} connections in use")
