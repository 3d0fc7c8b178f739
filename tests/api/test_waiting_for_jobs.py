"""`Prefer: wait`: an answer that waits until its job has ended, and what ends the waiting before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from api import job_waits
from api.authentication import Authenticator
from api.event_streams import OF_TENANT
from api.job_waits import JobWaits
from api.pools import MOST_WAITING_READS
from api.preferences import read_wait
from domain.scopes import Scope
from runtime.tasks import end_tasks
from tests.support.access import AsKey, make_key
from tests.support.job_seeds import Seeds
from tests.support.reading_app import replace_services
from tests.support.served_app import SlowClient, serve_app
from tests.support.service import Process, api_client, unique
from tests.support.waiting import eventually_async

APPLIED = "Preference-Applied"
LONG = {"Prefer": "wait=60"}
SECONDS = 10


@pytest.fixture
async def app(reader: httpx2.AsyncClient) -> AsyncIterator[Any]:
    """The reader's app, which stores submissions and looks for jobs that ended."""
    services = reader.app.state.services  # type: ignore[attr-defined]
    tasks = [asyncio.create_task(run()) for run in (services.submissions.run, services.job_waits.run)]
    yield reader.app  # type: ignore[attr-defined]
    await end_tasks(tasks)


@pytest.fixture
async def served(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it by real HTTP."""
    async with (
        serve_app(app) as url,
        httpx2.AsyncClient(base_url=url, timeout=30, limits=httpx2.Limits()) as http,
    ):
        yield http
        await eventually_async(lambda: is_idle(app), what="requests whose clients left have ended")


@asynccontextmanager
async def waiting(app: Any, asked: Any, *, requests: int = 1) -> AsyncIterator["asyncio.Task[httpx2.Response]"]:
    """A request that waits, once it does; `requests` are how many then wait in all."""
    task = asyncio.create_task(asked)
    await eventually_async(lambda: waits(app, requests), what="the request waits")
    assert not task.done()
    yield task
    await end_tasks([task])  # type: ignore[list-item]


async def waits(app: Any, requests: int) -> bool:
    """Whether so many requests wait."""
    return sum(map(len, app.state.services.job_waits._waiting.values())) == requests


async def is_idle(app: Any) -> bool:
    """Whether no request waits, or holds a connection to the database: else the next test would find it unclosed."""
    return await waits(app, 0) and app.state.services.engine.pool.checkedout() == 0


async def answer_of(task: "asyncio.Task[httpx2.Response]") -> httpx2.Response:
    async with asyncio.timeout(SECONDS):
        return await task


def replace_waits(app: Any, **bounds: int) -> JobWaits:
    """Let the app wait with these bounds."""
    services = app.state.services
    replaced = JobWaits(services.engine, services.event_streams.signal, **bounds)
    app.state.services = replace(services, job_waits=replaced)
    return replaced


async def test_a_job_is_shown_once_it_has_ended(app: Any, served: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    async with waiting(app, served.get(f"/jobs/{job.id}", headers=LONG)) as task:
        await seeds.run_all()
        answer = await answer_of(task)
    assert (answer.status_code, answer.json()["status"], answer.headers[APPLIED]) == (200, "completed", "wait=60")
    unwaited = await served.get(f"/jobs/{job.id}")
    assert APPLIED not in unwaited.headers
    assert (answer.content, answer.headers["ETag"]) == (unwaited.content, unwaited.headers["ETag"])


async def test_a_commit_wakes_it(
    app: Any, served: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_waits, "LOOK_SECONDS", 1000)
    job, other = await seeds.submit(), await seeds.submit(questions=["Another?"])
    async with (
        waiting(app, served.get(f"/jobs/{job.id}", headers=LONG)) as first,
        waiting(app, served.get(f"/jobs/{other.id}", headers=LONG), requests=2) as second,
    ):
        await served.post(f"/jobs/{job.id}/cancel")
        app.state.services.event_streams.signal.note()  # as the pool of the app's connections does
        assert (await answer_of(first)).json()["status"] == "cancelled"
        assert not second.done()


async def test_an_ended_job_and_one_that_does_not_end_in_time_are_shown_as_they_are(
    served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    ended = await seeds.submit()
    await seeds.run_all()
    queued = await seeds.submit(questions=["Another?"])
    for job, seconds, status in ((ended, 60, "completed"), (queued, 1, "queued"), (queued, 0, "queued")):
        answer = await served.get(f"/jobs/{job.id}", headers={"Prefer": f"wait={seconds}"})
        assert (answer.json()["status"], answer.headers[APPLIED]) == (status, f"wait={seconds}")
    tag = {"If-None-Match": (await served.get(f"/jobs/{queued.id}")).headers["ETag"]}
    answer = await served.get(f"/jobs/{queued.id}", headers={"Prefer": "wait=1", **tag})
    assert (answer.status_code, answer.headers[APPLIED]) == (304, "wait=1")
    assert (await served.get("/jobs/none", headers=LONG)).status_code == 404


async def test_a_submission_is_answered_once_its_job_has_ended_and_its_replay_at_once(
    app: Any, served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    body, keyed = unique(), {"Idempotency-Key": "k"}
    async with waiting(app, served.post("/jobs", json=body, headers={**LONG, **keyed})) as task:
        await seeds.run_all()
        answer = await answer_of(task)
    assert (answer.status_code, answer.headers[APPLIED]) == (202, "wait=60")
    assert (answer.json()["outcome"], answer.json()["job"]["status"]) == ("created", "completed")
    replay = await served.post("/jobs", json=body, headers={**LONG, **keyed})
    assert APPLIED not in replay.headers
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (202, "true")
    assert replay.json()["job"] == {**answer.json()["job"], "status": "queued"}


async def test_a_submission_that_joins_a_job_waits_for_that(app: Any, served: httpx2.AsyncClient, seeds: Seeds) -> None:
    named = unique(id="mine")
    await served.post("/jobs", json=named)
    async with waiting(app, served.post("/jobs", json=named, headers=LONG)) as task:
        await served.post("/jobs/mine/cancel")
        answer = await answer_of(task)
    unwaited = (await served.post("/jobs", json=named)).json()
    assert (answer.status_code, answer.json()["outcome"], answer.headers[APPLIED]) == (200, "joined", "wait=60")
    for part in ("job", "spec", "normalization"):
        assert answer.json()[part] == unwaited[part]
    assert answer.json()["dedup"]["detail"] == unwaited["dedup"]["detail"] is not None


async def test_a_submission_that_joins_a_job_that_has_ended_waits_for_nothing(
    app: Any, served: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no commit follows, and the looks for others are far between."""
    body = unique()
    await served.post("/jobs", json=body)
    await seeds.run_all()
    monkeypatch.setattr(job_waits, "LOOK_SECONDS", 1000)
    queued = await seeds.submit()
    async with waiting(app, served.get(f"/jobs/{queued.id}", headers=LONG)):
        answer = await answer_of(asyncio.create_task(served.post("/jobs", json=body, headers=LONG)))
    assert (answer.json()["job"]["status"], answer.headers[APPLIED]) == ("completed", "wait=60")


async def test_nothing_is_waited_for_by_a_dry_run_and_a_refusal(served: httpx2.AsyncClient) -> None:
    for path, body, status in (("/jobs?dry_run=true", unique(), 200), ("/jobs", {}, 422)):
        async with asyncio.timeout(SECONDS):
            answer = await served.post(path, json=body, headers=LONG)
        assert answer.status_code == status
        assert APPLIED not in answer.headers


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (["wait=5"], 5),
        (["WAIT = 05"], 5),
        (['wait="7"'], 7),
        (["respond-async, wait=10; foo=1"], 10),
        (["return=minimal", "wait=3"], 3),
        (['x="a, wait=4", wait=9'], 9),
        (["wait=2, wait=8"], 2),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=" + "9" * 5000], 60),
        (["wait=0"], 0),
        ([], None),
        (["respond-async"], None),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=٣"], None),
        (["wait=x, wait=8"], None),
        (['wait="5'], None),
        (["waiting=5"], None),
        (["x;wait=5"], None),
    ],
)
def test_a_preference_that_cannot_be_read_is_ignored(given: list[str], seconds: int | None) -> None:
    assert read_wait(given) == seconds


async def test_more_requests_than_connections_to_the_database_wait_and_nobody_waits_for_them(
    app: Any, served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    job = await seeds.submit()
    asked = [asyncio.create_task(served.get(f"/jobs/{job.id}", headers=LONG)) for _ in range(60)]
    await eventually_async(lambda: waits(app, 60))
    pool = app.state.services.engine.pool
    assert pool.size() < 60

    async def hold_none() -> bool:
        return bool(pool.checkedout() == 0)

    await eventually_async(hold_none)
    assert await waits(app, 60)
    await served.post(f"/jobs/{job.id}/cancel")
    answers = await asyncio.gather(*map(answer_of, asked))
    assert {answer.json()["status"] for answer in answers} == {"cancelled"}
    assert await waits(app, 0)


async def test_all_that_a_tenant_may_have_waiting_are_answered_at_one_end(
    app: Any, reader: httpx2.AsyncClient, served: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    """Though they all read the job at once, by the tenant's share of the connections."""
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    key = AsKey(served, await make_key(rows))
    job = await seeds.submit()
    asked = [asyncio.create_task(key.get(f"/jobs/{job.id}", **LONG)) for _ in range(job_waits.OF_TENANT)]
    await eventually_async(lambda: waits(app, len(asked)), seconds=30)
    assert (await key.post(f"/jobs/{job.id}/cancel")).status_code == 202
    answers = await asyncio.gather(*map(answer_of, asked))
    found = {(answer.status_code, answer.json()["status"], answer.headers.get(APPLIED)) for answer in answers}
    assert found == {(200, "cancelled", "wait=60")}
    assert job_waits.OF_TENANT + OF_TENANT <= MOST_WAITING_READS  # its streams look then, too


async def test_beyond_the_bounds_it_is_answered_at_once(app: Any, served: httpx2.AsyncClient, seeds: Seeds) -> None:
    replace_waits(app, of_tenant=1)
    job = await seeds.submit()
    async with waiting(app, served.get(f"/jobs/{job.id}", headers=LONG)):
        shown = await served.get(f"/jobs/{job.id}", headers=LONG)
        posted = await served.post("/jobs", json=unique(), headers=LONG)
        assert [each.status_code for each in (shown, posted)] == [200, 202]
        assert not any(APPLIED in each.headers for each in (shown, posted))


async def test_where_all_places_are_taken_the_tenant_that_has_most_gives_one_up(
    app: Any, served: httpx2.AsyncClient, seeds: Seeds
) -> None:
    job_waits = replace_waits(app, at_once=2)
    job = await seeds.submit()
    async with (
        waiting(app, served.get(f"/jobs/{job.id}", headers=LONG)) as first,
        waiting(app, served.get(f"/jobs/{job.id}", headers=LONG), requests=2) as second,
    ):
        with job_waits._places.place(2) as foreign:
            assert foreign is not None
            answer = await answer_of(first)
            assert (answer.json()["status"], answer.headers.get(APPLIED)) == ("queued", None)
            assert not second.done()


async def test_a_client_that_has_left_is_not_waited_for(app: Any, served: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    async with SlowClient(str(served.base_url).rstrip("/"), f"/jobs/{job.id}", **LONG):
        await eventually_async(lambda: waits(app, 1))
    await eventually_async(lambda: waits(app, 0))


async def test_under_a_key_that_is_revoked_nothing_more_is_shown(
    app: Any, reader: httpx2.AsyncClient, served: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    admin, key = AsKey(served, await make_key(rows, Scope.ADMIN)), await make_key(rows)
    job = await seeds.submit()
    async with (
        waiting(app, AsKey(served, key).get(f"/jobs/{job.id}", **LONG)) as shown,
        waiting(app, AsKey(served, key).post("/jobs", unique(), **LONG), requests=2) as posted,
    ):
        assert (await admin.post(f"/keys/{key.split('_')[1]}/revoke")).status_code == 200
        refused, accepted = await answer_of(shown), await answer_of(posted)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert (accepted.status_code, accepted.json()["job"]["status"]) == (202, "queued")
    assert APPLIED not in accepted.headers


async def test_a_process_that_is_to_stop_answers_as_it_is(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url, shutdown_seconds=60)
    async with api_client(api, database_url) as client:
        body = unique()
        job_id = (await client.post(body)).json()["job"]["id"]
        asked = [client.http.get(f"/jobs/{job_id}", headers=LONG), client.http.post("/jobs", json=body, headers=LONG)]
        tasks = [asyncio.create_task(each) for each in asked]

        async def both_wait() -> bool:
            seen = await client.database.fetchval("SELECT count(*) FROM submissions WHERE outcome = 'joined'")
            return bool(seen == 1)

        await eventually_async(both_wait)
        api.process.terminate()
        answers = [await answer_of(task) for task in tasks]
    await asyncio.to_thread(api.process.join, SECONDS)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answers[0].json()["status"], answers[1].json()["job"]["status"]] == ["queued", "queued"]
    assert not any("timeout graceful shutdown exceeded" in line["message"] for line in api.events("library_message"))
