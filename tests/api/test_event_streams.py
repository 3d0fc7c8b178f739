"""Events as a stream: each once and in order, as it is committed, over breaks and restarts; and the end of a stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx2
import pytest

from api import event_streams
from api.event_streams import EventStreams
from domain.errors import Overloaded
from tests.support.event_streams import Sent, parse
from tests.support.job_seeds import Seeds, completed
from tests.support.reading_app import replace_services
from tests.support.served_app import SlowClient, serve_app
from tests.support.service import Process
from tests.support.waiting import eventually_async

STREAM = {"Accept": "text/event-stream"}
SECONDS = 10


@asynccontextmanager
async def streamed(
    http: httpx2.AsyncClient, path: str, *, last: str | None = None, **parameters: str
) -> AsyncIterator[AsyncGenerator[Sent, None]]:
    """Open a stream; an event that doesn't come in time fails."""
    headers = STREAM if last is None else {**STREAM, "Last-Event-ID": last}
    async with http.stream("GET", path, headers=headers, params=parameters, timeout=SECONDS) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async with aclosing(parse(answer.aiter_lines())) as sent:
            yield sent


async def take(sent: AsyncGenerator[Sent, None], count: int) -> list[Sent]:
    async with asyncio.timeout(SECONDS):
        return [await anext(sent) for _ in range(count)]


async def rest_of(sent: AsyncGenerator[Sent, None]) -> list[Sent]:
    async with asyncio.timeout(SECONDS):
        return [event async for event in sent]


@pytest.fixture
async def served(reader: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the reader's app by real HTTP."""
    async with serve_app(reader.app) as url, httpx2.AsyncClient(base_url=url) as http:  # type: ignore[attr-defined]
        yield http


async def listed(http: httpx2.AsyncClient, path: str) -> list[Any]:
    items: list[Any] = (await http.get(path, params={"limit": 200})).json()["items"]
    return items


async def test_a_jobs_events_come_as_they_are_committed_and_end_with_the_job(
    served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?", "Three?"])
    async with streamed(served, f"/jobs/{job.id}/events") as sent:
        await seeds.plan()
        found = await take(sent, 1)
        assert found[0].item["type"] == "coordinated"
        for batch in await seeds.claim():
            await seeds.record(completed(batch))
            found += await take(sent, 1)
        assert await rest_of(sent) == []
    assert [event.id for event in found] == ["1", "2", "3", "4"]
    assert [event.item["type"] for event in found][1:] == ["progressed", "progressed", "finished"]
    assert [event.item for event in found] == await listed(served, f"/jobs/{job.id}/events")


@pytest.mark.parametrize("seen", [0, 1, 2, 3])
async def test_a_jobs_events_go_on_after_the_last_one_that_was_read(
    served: httpx2.AsyncClient, seeds: Seeds, seen: int
) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=["One?", "Two?", "Three?"])
    await seeds.plan()
    for batch in await seeds.claim():
        await seeds.record(completed(batch))
    async with streamed(served, f"/jobs/{job.id}/events", last=str(seen)) as sent:
        assert [event.id for event in await rest_of(sent)] == [str(n) for n in range(seen + 1, 5)]


async def test_a_stream_that_is_over_tells_a_browser_not_to_come_back(served: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    answer = await served.get(f"/jobs/{job.id}/events", headers={**STREAM, "Last-Event-ID": "2"})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_retried_jobs_events_go_on_and_end_again(served: httpx2.AsyncClient, seeds: Seeds, rows) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    await rows.execute("SET session_replication_role = replica")
    await rows.execute("UPDATE executions SET status = 'failed', error_code = 'provider_error', output = NULL")
    await rows.execute("UPDATE jobs SET status = 'failed', completed = 0, failed = 1")
    retry = await served.post(f"/jobs/{job.id}/retry")
    assert (retry.status_code, retry.json()["retried"]) == (200, 1)
    async with streamed(served, f"/jobs/{job.id}/events", last="2") as sent:
        assert [event.item["type"] for event in await take(sent, 1)] == ["retried"]
        await seeds.run_all()
        assert [event.item["type"] for event in await rest_of(sent)][-1] == "finished"


async def test_all_events_go_on_after_any_token_and_come_as_they_are_committed(
    served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    for question in ("One?", "Two?"):
        await seeds.submit(questions=[question])
    await seeds.run_all()
    items = await listed(served, "/events")
    for seen in range(len(items)):
        async with streamed(served, "/events", last=items[seen]["token"], after=items[0]["token"]) as sent:
            assert [event.item for event in await take(sent, len(items) - seen - 1)] == items[seen + 1 :]
    async with streamed(served, "/events", after=items[-1]["token"]) as sent:
        third = await seeds.submit(questions=["Three?"])
        await seeds.run_all()
        found = await take(sent, 2)
    assert [(event.item["job_id"], event.item["event_no"]) for event in found] == [(third.id, 1), (third.id, 2)]
    assert [event.id for event in found] == [event.item["token"] for event in found]


async def test_a_stream_may_begin_with_what_comes_next(served: httpx2.AsyncClient, seeds: Seeds) -> None:
    await seeds.submit(questions=["One?"])
    await seeds.run_all()
    async with streamed(served, "/events", after="latest") as sent:
        second = await seeds.submit(questions=["Two?"])
        await seeds.run_all()
        found = await take(sent, 2)
    assert [(event.item["job_id"], event.item["event_no"]) for event in found] == [(second.id, 1), (second.id, 2)]


async def test_another_tenants_events_are_not_sent(served: httpx2.AsyncClient, seeds: Seeds, rows) -> None:
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES (2, 'another')")
    foreign = await seeds.submit(tenant_no=2)
    async with streamed(served, "/events") as sent:
        await seeds.run_all()
        own = await seeds.submit(questions=["Own?"])
        await seeds.run_all()
        assert [event.item["job_id"] for event in await take(sent, 2)] == [own.id, own.id]
    answer = await served.get(f"/jobs/{foreign.id}/events", headers=STREAM)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("target", "last", "code"),
    [
        ("/events", "x", "token_invalid"),
        ("/events?after=x", None, "token_invalid"),
        ("/events?limit=5", None, "not_with_streams"),
        ("/jobs/JOB/events", "-1", "token_invalid"),
        ("/jobs/JOB/events", "1e3", "token_invalid"),
        ("/jobs/JOB/events", "٣", "token_invalid"),
        ("/jobs/JOB/events?limit=5", None, "not_with_streams"),
        ("/jobs/JOB/events?cursor=x", None, "not_with_streams"),
    ],
)
async def test_what_a_stream_does_not_take_is_refused(
    served: httpx2.AsyncClient, seeds: Seeds, target: str, last: str | None, code: str
) -> None:
    job = await seeds.submit()
    given = {} if last is None else {"Last-Event-ID": last.encode()}
    answer = await served.get(target.replace("JOB", job.id), headers={**STREAM, **given})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/html", "text/html,application/xhtml+xml,*/*;q=0.8"]
)
async def test_other_clients_get_json(served: httpx2.AsyncClient, accept: str) -> None:
    answer = await served.get("/events", headers={"Accept": accept})
    assert answer.json()["items"] == []


async def test_head_is_answered_without_a_body(served: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    answer = await served.head(f"/jobs/{job.id}/events", headers=STREAM)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_streams_are_bounded_by_tenant_and_their_places_are_given_back(
    reader: httpx2.AsyncClient, served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    streams = EventStreams(reader.app.state.services.event_streams.signal, of_tenant=2)  # type: ignore[attr-defined]
    replace_services(reader, event_streams=streams)
    async with AsyncExitStack() as opened:
        for _ in range(2):
            await opened.enter_async_context(streamed(served, "/events"))
        answer = await served.get("/events", headers=STREAM)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) > 0
        async with streams.place(2):  # another tenant's
            pass
    job = await seeds.submit()
    await seeds.run_all()

    async def has_place() -> bool:
        return (await served.get(f"/jobs/{job.id}/events", headers=STREAM)).status_code == 200

    await eventually_async(has_place, what="a place was given back")


async def test_where_all_places_are_taken_the_tenant_that_has_most_gives_one_up(
    reader: httpx2.AsyncClient, served: httpx2.AsyncClient
) -> None:
    streams = EventStreams(reader.app.state.services.event_streams.signal, at_once=3)  # type: ignore[attr-defined]
    replace_services(reader, event_streams=streams)
    async with AsyncExitStack() as opened:
        first, second, third = [await opened.enter_async_context(streamed(served, "/events")) for _ in range(3)]
        await opened.enter_async_context(streams.place(2))
        assert await rest_of(first) == []
        await opened.enter_async_context(streams.place(3))
        assert await rest_of(second) == []
        with pytest.raises(Overloaded):  # each has one
            await opened.enter_async_context(streams.place(4))
        answer = await served.get("/events", headers=STREAM)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        waiting = asyncio.create_task(anext(third))
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_clients_that_read_nothing_keep_no_connection_and_nobody_waiting(
    reader: httpx2.AsyncClient, served: httpx2.AsyncClient, seeds: Seeds, rows
) -> None:
    """More of them than the process has connections to PostgreSQL, with more to read than the system's buffers hold."""
    job = await seeds.submit()
    await seeds.plan()
    await rows.execute(
        "SELECT write_event($1, n, 'progressed', 'a test', json_build_object('text', repeat('x', 30000))) "
        "FROM generate_series(2, 300) AS n",
        job.job_no,
    )
    async with AsyncExitStack() as opened:
        for _ in range(12):
            client = SlowClient(str(served.base_url).rstrip("/"), "/events", **STREAM)
            assert (await (await opened.enter_async_context(client)).read()).startswith(b"HTTP/1.1 200")
        async with streamed(served, "/events") as sent:
            await take(sent, 300)
            other = await seeds.submit(questions=["Another?"])
            await seeds.plan()
            assert [event.item["job_id"] for event in await take(sent, 1)] == [other.id]


async def test_something_is_sent_where_nothing_happens(
    served: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "KEEP_ALIVE_SECONDS", 0)
    async with served.stream("GET", "/events", headers=STREAM, timeout=SECONDS) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(SECONDS):
            assert [await anext(lines) for _ in range(4)] == ["retry: 1000", "", ": nothing new", ""]


async def test_a_process_that_is_to_stop_ends_its_streams(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url, shutdown_seconds=60)
    async with httpx2.AsyncClient(base_url=api.url) as http, streamed(http, "/events") as sent:
        api.process.terminate()
        assert await rest_of(sent) == []
    await asyncio.to_thread(api.process.join, SECONDS)
    messages = [line["message"] for line in api.events("library_message")]
    assert "Application shutdown complete." in messages
    assert not any("timeout graceful shutdown exceeded" in message for message in messages)
