"""GET /events: the events of all jobs in one order, and waking their readers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import httpx2
import pytest

from api import event_feed
from api.event_feed import EventSignal, FeedOfAll, follow
from broker.envelopes import Client
from db import events
from db.engine import Engine, create_engine, in_transaction
from db.events import BEFORE_ALL, EventOfAll
from db.tenants import DEFAULT_TENANT_NO
from tests.support.connections import database_connections
from tests.support.job_seeds import WORKER_ID, Seeds, completed
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def follow_all(engine: Engine, signal: EventSignal) -> AsyncGenerator[Sequence[EventOfAll], None]:
    """Yield the events of all jobs from the first on, as they are found."""
    async with aclosing(follow(FeedOfAll(engine, DEFAULT_TENANT_NO, BEFORE_ALL), signal)) as following:
        async for found in following:
            if found:
                yield found


async def page(reader: httpx2.AsyncClient, **parameters: object) -> list[dict[str, object]]:
    answer = await reader.get("/events", params=parameters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, object]] = answer.json()["items"]
    return items


async def test_events_of_all_jobs_are_read_on_from_the_last_token(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    assert await page(reader) == []
    job_ids = sorted([(await seeds.submit(questions=[question])).id for question in ("One?", "Two?")])
    await seeds.plan()
    for batch in await seeds.claim():
        await seeds.record(completed(batch))
    begin = await page(reader, limit=3)
    rest = await page(reader, after=begin[-1]["token"])
    shown = [(event["job_id"], event["event_no"], event["type"], event["source"]) for event in begin + rest]
    assert sorted(shown[:2]) == [(job_id, 1, "coordinated", "initial") for job_id in job_ids]
    assert sorted(shown[2:]) == [(job_id, 2, "finished", WORKER_ID) for job_id in job_ids]
    assert await page(reader, after=rest[-1]["token"]) == []
    assert begin[0].keys() == {"token", "job_id", "event_no", "type", "at", "source", "data"}
    own = (await reader.get(f"/jobs/{rest[-1]['job_id']}/events")).json()["items"][-1]
    assert (own["data"], own["at"]) == (rest[-1]["data"], rest[-1]["at"])


@pytest.mark.parametrize("token", ["", "x", "WzEsImV2ZW50cyIsMV0", "WzEsImFsbF9ldmVudHMiLC0xLDAsMF0"])
async def test_a_token_that_the_list_did_not_give_is_refused(reader: httpx2.AsyncClient, token: str) -> None:
    answer = await reader.get("/events", params={"after": token})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "token_invalid")


async def test_the_latest_place_is_behind_all_that_was_written_and_before_all_that_comes(
    reader: httpx2.AsyncClient, seeds: Seeds
) -> None:
    await seeds.submit(questions=["One?"])
    await seeds.plan()
    latest = (await reader.get("/events", params={"after": "latest"})).json()
    assert (latest["items"], latest["has_more"]) == ([], False)
    later = await seeds.submit(questions=["Two?"])
    await seeds.plan()
    assert [event["job_id"] for event in await page(reader, after=latest["next_token"])] == [later.id]


async def test_another_tenants_events_are_not_shown(reader: httpx2.AsyncClient, seeds: Seeds, rows) -> None:
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES (2, 'another')")
    await seeds.submit(tenant_no=2)
    own = await seeds.submit()
    await seeds.plan()
    assert [event["job_id"] for event in await page(reader)] == [own.id]


async def another_tenants_events(seeds: Seeds, rows, *, count: int) -> None:
    await rows.execute("INSERT INTO tenants (tenant_no, name) VALUES (2, 'another') ON CONFLICT DO NOTHING")
    foreign = await seeds.submit(tenant_no=2)
    for number in range(count):
        await rows.execute("SELECT write_event($1, $2, 'progressed', 'a test', '{}')", foreign.job_no, 100 + number)


async def test_an_answer_without_items_names_where_to_go_on(
    reader: httpx2.AsyncClient, seeds: Seeds, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind another tenant's events, where one answer's time was over after a scan."""
    monkeypatch.setattr(events, "SCANNED_EVENTS", 2)
    monkeypatch.setattr(events, "SCAN_SECONDS", 0)
    await another_tenants_events(seeds, rows, count=9)
    own = await seeds.submit()
    await seeds.plan()
    answers = [(await reader.get("/events", params={"limit": 1})).json()]
    while answers[-1]["has_more"]:
        answers.append((await reader.get("/events", params={"limit": 1, "after": answers[-1]["next_token"]})).json())
    assert len({answer["next_token"] for answer in answers}) >= 4
    assert answers[0]["items"] == []
    assert [event["job_id"] for answer in answers for event in answer["items"]] == [own.id]
    assert (await reader.get("/events", params={"after": answers[-1]["next_token"]})).json() == {
        "items": [],
        "next_token": answers[-1]["next_token"],
        "has_more": False,
    }


async def test_a_follower_passes_over_another_tenants_events_without_waiting(
    engine: Engine, seeds: Seeds, rows, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SCANNED_EVENTS", 2)
    monkeypatch.setattr(events, "SCAN_SECONDS", 0)
    monkeypatch.setattr(event_feed, "PAGE", 1)
    monkeypatch.setattr(event_feed, "LOOK_SECONDS", 3600)
    await another_tenants_events(seeds, rows, count=9)
    own = await seeds.submit()
    await seeds.plan()
    async with aclosing(follow_all(engine, EventSignal(redis_client))) as following:
        async with asyncio.timeout(10):
            assert [event.job_id for event in await anext(following)] == [own.id]


async def test_workers_do_not_listen_for_events(fleet: Fleet, redis_client: Client) -> None:
    """Others may listen on the same server; the worker's connections are those of its name."""
    name = "a-worker-alone"
    fleet.redis_url += f"&client_name={name}"

    async def listening() -> list[int]:
        listeners = await redis_client.client_list(_type="pubsub")
        return [int(listener["sub"]) for listener in listeners if listener["name"] == name]

    fleet.start()
    assert await eventually_async(listening, what="the worker listens") == [1], "to more than one channel"


async def test_the_queue_names_the_session_that_holds_readers_back(
    reader: httpx2.AsyncClient, seeds: Seeds, database_url: str
) -> None:
    first, _ = await seeds.submit(), await seeds.submit()
    async with database_connections(database_url, application_name="worker-x") as (late,), late.transaction():
        await late.execute("SELECT write_event($1, 99, 'progressed', 'a test', '{}')", first.job_no)
        assert (await reader.get("/queue")).json()["events"] == {"behind_seconds": 0, "held_back_by": None}
        await seeds.plan()
        assert await page(reader) == []
        found = (await reader.get("/queue")).json()["events"]
        assert found["behind_seconds"] > 0
        assert found["held_back_by"].pop("open_seconds") > 0
        assert found["held_back_by"] == {"session": "worker-x", "pid": late.get_server_pid(), "prepared": None}


@pytest.fixture
async def signal(redis_client: Client) -> AsyncIterator[EventSignal]:
    """The signal of an API that listens."""
    signal = EventSignal(redis_client)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(signal.listen())

        async def is_listening() -> bool:
            return bool(await redis_client.pubsub_numsub("breakwater:events") != [(b"breakwater:events", 0)])

        await eventually_async(is_listening)
        yield signal
        listening.cancel()
    await signal.aclose()


@pytest.fixture
async def other_process(database_url: str, redis_client: Client) -> AsyncIterator[Engine]:
    """A pool of connections as another process has it."""
    signal = EventSignal(redis_client)
    engine = create_engine(database_url, on_events=signal.note)
    yield engine
    await signal.aclose()
    await engine.dispose()


async def test_a_commit_in_another_process_wakes_a_follower(
    other_process: Engine, engine: Engine, seeds: Seeds, signal: EventSignal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the notice: the look without one would come after the test's end."""
    monkeypatch.setattr(event_feed, "LOOK_SECONDS", 3600)
    await seeds.submit()
    seeds.engine = other_process
    async with aclosing(follow_all(engine, signal)) as following:
        waiting = asyncio.create_task(anext(following))
        for seen in range(2):
            await (seeds.plan() if seen == 0 else seeds.run_all())
            async with asyncio.timeout(10):
                found = await waiting
            waiting = asyncio.create_task(anext(following))
            assert [event.place.event_no for event in found] == [seen + 1]
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_follower_looks_by_itself_where_no_notice_comes(
    engine: Engine, seeds: Seeds, redis_client: Client
) -> None:
    await seeds.submit()
    async with aclosing(follow_all(engine, EventSignal(redis_client))) as following:
        waiting = asyncio.create_task(anext(following))
        await seeds.plan()
        async with asyncio.timeout(10):
            assert len(await waiting) == 1


async def test_only_units_that_write_events_are_reported_and_only_once_they_are_committed(
    database_url: str, seeds: Seeds
) -> None:
    noted: list[None] = []
    engine = create_engine(database_url, on_events=lambda: noted.append(None))
    seeds.engine = engine
    await seeds.submit()
    assert noted == []
    await seeds.plan()
    assert len(noted) == 1

    async def fail(connection) -> None:
        await connection.execute("SELECT write_event(1, 99, 'progressed', 'a test', '{}')")
        assert len(noted) == 1
        raise LookupError

    with pytest.raises(LookupError):
        await in_transaction(engine, fail)
    await seeds.claim()
    assert len(noted) == 1
    await engine.dispose()
