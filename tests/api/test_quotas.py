"""Quotas of keys over two APIs: exact under parallel requests, and nothing is changed by what doesn't fit."""

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.import_bodies import csv_type, import_body
from tests.support.quotas import TwoApis, of_cells, refusals
from tests.support.service import Client, Json, Process, api_client
from tests.support.waiting import eventually_async

QUOTA = 100
AT_ONCE = 50
ACTIVE = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"
STATE = """
SELECT
    (SELECT json_agg(j ORDER BY j.job_no) FROM jobs AS j)::text,
    (SELECT json_agg(e ORDER BY e.job_no, e.region_no, e.model_no, e.question_no) FROM executions AS e)::text,
    (SELECT json_agg(b ORDER BY b.job_no, b.batch_no) FROM batches AS b)::text,
    (SELECT json_agg(v ORDER BY v.job_no, v.event_no) FROM events AS v)::text,
    (SELECT json_agg(d ORDER BY d.dead_letter_no) FROM dead_letters AS d)::text,
    (SELECT json_agg(u ORDER BY u.key_no) FROM key_usage AS u)::text,
    (SELECT json_agg(a ORDER BY a.job_no) FROM active_jobs AS a)::text
"""
"""All that a refused action could have changed."""


@pytest.mark.parametrize(
    "sizes",
    [[3] * AT_ONCE, [2] * (AT_ONCE + 1), [7] * 20 + [1] * 30, [99, *[1] * 49]],
    ids=["one-is-left", "one-job-too-many", "large-and-small", "a-large-one"],
)
async def test_parallel_posts_create_what_fits_and_never_a_cell_more(two_apis: TwoApis, sizes: list[int]) -> None:
    key = await two_apis.key(cells_per_day=QUOTA)
    answers = await two_apis.post_all(key, map(of_cells, sizes))
    refused = refusals(answers)
    assert refused
    created = await two_apis.created()
    assert created == sum(size for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 202)
    assert created == await two_apis.used()
    left = QUOTA - created
    assert left >= 0
    # What is used only rises, so whatever was refused wouldn't fit now either: nothing was left unused that had room.
    assert left < min(size for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 429)


async def test_two_keys_dont_share_a_quota(two_apis: TwoApis) -> None:
    keys = [await two_apis.key(cells_per_day=5) for _ in range(2)]
    answers = await asyncio.gather(*(two_apis.post_all(key, map(of_cells, [1, *[2] * 9])) for key in keys))
    assert [len(refusals(of_key)) for of_key in answers] == [7, 7]
    assert [row["cells"] for row in await two_apis.database.fetch("SELECT cells FROM key_usage")] == [5, 5]


async def test_a_key_whose_usage_is_locked_holds_up_no_other_key(two_apis: TwoApis) -> None:
    held = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=5))
    other = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=5))
    assert (await held.post("/jobs", of_cells(1))).status_code == 202
    database = two_apis.database
    async with database.transaction():
        await database.execute("SELECT FROM key_usage FOR UPDATE")
        waiting = asyncio.create_task(held.post("/jobs", of_cells(1)))
        for _ in range(5):
            assert (await other.post("/jobs", of_cells(1))).status_code == 202
        assert not waiting.done()
    assert (await waiting).status_code == 202
    assert await two_apis.created() == 7


async def test_a_refused_post_is_in_the_ledger_and_says_how_far_it_is(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=5))
    assert (await key.post("/jobs", of_cells(3))).status_code == 202
    refused = await key.post("/jobs", of_cells(3))
    assert refused.status_code == 429
    problem = refused.json()
    shown = {name: problem[name] for name in ("code", "quota", "limit", "used", "requested")}
    wanted = {"code": "quota_exceeded", "quota": "cells_per_day", "limit": 5, "used": 3, "requested": 3}
    assert shown == wanted
    midnight = await two_apis.database.fetchval("SELECT (timezone('UTC', now())::date + 1)::text || 'T00:00:00Z'")
    assert problem["resets_at"] == midnight
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    [row] = await two_apis.first.ledger(refused)
    assert (row["outcome"], row["reason"], row["status_code"], row["job"]) == ("rejected", "quota_exceeded", 429, None)


async def test_a_refused_post_does_not_use_up_its_idempotency_key(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=5))
    headers = {"Idempotency-Key": "one"}
    assert (await key.post("/jobs", of_cells(6), **headers)).status_code == 429
    assert (await key.post("/jobs", of_cells(5), **headers)).status_code == 202


async def test_joins_replays_and_dry_runs_cost_nothing(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=3, active_jobs=1))
    body, headers = of_cells(3), {"Idempotency-Key": "one"}
    assert (await key.post("/jobs?dry_run=true", body)).json()["outcome"] == "planned"
    assert (await key.post("/jobs", body, **headers)).status_code == 202
    replayed = await key.post("/jobs", body, **headers)
    assert (replayed.status_code, replayed.headers["Idempotent-Replayed"]) == (202, "true")
    joined = await key.post("/jobs", body)
    assert (joined.status_code, joined.json()["outcome"]) == (200, "joined")
    assert (await key.post("/jobs?dry_run=true", body)).status_code == 200
    assert await two_apis.created() == await two_apis.used() == 3


async def test_a_dry_run_says_that_a_post_would_not_fit(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=3))
    assert (await key.post("/jobs?dry_run=true", of_cells(3))).status_code == 200
    answer = await key.post("/jobs?dry_run=true", of_cells(4))
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert await two_apis.used() is None


async def test_a_new_utc_day_begins_with_nothing_used(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(cells_per_day=3))
    assert (await key.post("/jobs", of_cells(3))).status_code == 202
    assert (await key.post("/jobs", of_cells(1))).status_code == 429
    await two_apis.database.execute("UPDATE key_usage SET day = day - 1")
    assert (await key.get("/limits")).json()["limits"][0]["used"] == 0
    assert (await key.post("/jobs", of_cells(2))).status_code == 202
    assert await two_apis.used() == 2
    assert (await key.post("/jobs", of_cells(2))).status_code == 429
    assert await two_apis.database.fetchval("SELECT day FROM key_usage") == await two_apis.database.fetchval(
        "SELECT timezone('UTC', now())::date"
    )


async def test_what_a_killed_api_committed_is_counted_and_nothing_else(two_apis: TwoApis) -> None:
    key = await two_apis.key(cells_per_day=QUOTA)
    posts = [
        asyncio.create_task(AsKey(two_apis.clients[n % 2].http, key).post("/jobs", of_cells(3))) for n in range(AT_ONCE)
    ]
    await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    two_apis.second.process.kill()
    answers = await asyncio.gather(*posts, return_exceptions=True)
    survivor = AsKey(two_apis.first.http, key)
    assert [answer for answer in answers if isinstance(answer, httpx2.Response) and answer.status_code == 202]

    async def is_used_up() -> bool:
        return (await survivor.post("/jobs", of_cells(1))).status_code == 429

    await eventually_async(is_used_up, seconds=30, what="the rest of the quota is used")
    assert await two_apis.created() == await two_apis.used() == QUOTA


async def test_parallel_posts_never_have_more_active_jobs_than_the_limit(two_apis: TwoApis) -> None:
    key = await two_apis.key(active_jobs=3)
    answers = await two_apis.post_all(key, (of_cells(1) for _ in range(AT_ONCE)))
    refused = refusals(answers)
    assert await two_apis.database.fetchval(ACTIVE) == AT_ONCE - len(refused) == 3
    problem = refused[0].json()
    assert (problem["quota"], problem["used"], problem["resets_at"]) == ("active_jobs", 3, None)
    job = next(answer for answer in answers if answer.status_code == 202).json()["job"]["id"]
    assert (await AsKey(two_apis.first.http, key).post(f"/jobs/{job}/cancel")).status_code == 202
    assert len(refusals(await two_apis.post_all(key, (of_cells(1) for _ in range(9))))) == 8
    assert await two_apis.database.fetchval(ACTIVE) == 3
    assert await two_apis.database.fetchval("SELECT count(*) FROM active_jobs") == 3  # that of the ended one is gone


async def test_an_import_is_an_active_job_of_no_cells(
    start_api: Callable[..., Process], database_url: str, redis_url: str, import_settings: Json
) -> None:
    async with api_client(start_api(database_url, redis_url, auth="keys", **import_settings), database_url) as client:
        limits = KeyLimits(cells_per_day=1, active_jobs=2)
        key = AsKey(client.http, await make_key(client.database, limits=limits))
        assert (await key.post("/jobs", of_cells(1))).status_code == 202  # all cells are used
        bodies = [import_body(csv_type("customer"), on_duplicate="create") for _ in range(2)]
        answer = await key.post("/jobs", bodies[0])
        assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "import"), answer.text
        refused = await key.post("/jobs", bodies[1])
        assert (refused.status_code, refused.json()["quota"]) == (429, "active_jobs"), refused.text
        assert await client.database.fetchval("SELECT cells FROM key_usage") == 1


async def test_what_is_planned_anew_counts_on_the_key_that_asks_for_it(
    two_apis: TwoApis, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    free = AsKey(two_apis.first.http, await two_apis.key())
    job = (await free.post("/jobs", failing(4))).json()["job"]["id"]
    await end(two_apis, start_worker(database_url, redis_url, echo_failure_rate=1), free, job)
    execution, *_ = (await free.get(f"/jobs/{job}/executions")).json()["items"]
    letters = (await free.get("/queue/dead")).json()["items"]
    letter = next(letter for letter in letters if letter["execution_id"] != execution["id"])
    for path, cells in (
        (f"/executions/{execution['id']}/retry", 1),
        (f"/queue/dead/{letter['id']}/replay", 1),
        (f"/jobs/{job}/retry", 2),
    ):
        beyond = AsKey(two_apis.first.http, await two_apis.key_that_has_left(cells - 1))
        enough = AsKey(two_apis.second.http, await two_apis.key_that_has_left(cells))
        before = tuple(await two_apis.database.fetchrow(STATE))
        dry_runs = [f"{path}?dry_run=true"] if path.startswith("/jobs/") else []
        for asked in (path, *dry_runs):
            refused = await beyond.post(asked)
            assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded"), (path, refused.text)
            assert (refused.json()["requested"], refused.headers.get("Retry-After") is None) == (cells, False)
        assert tuple(await two_apis.database.fetchrow(STATE)) == before, path
        done = await enough.post(path)
        assert (done.status_code, done.json()["retried"]) == (200, cells), (path, done.text)
        assert await two_apis.left() == 0, path
        assert '"cells_per_day";r=0;' in done.headers["RateLimit"], path
        repeated = await enough.post(path)
        assert (repeated.status_code, repeated.json()["retried"]) == (200, 0), (path, repeated.text)
    assert await two_apis.created() == 4 + 1 + 1 + 2


async def test_a_retry_that_reopens_a_job_needs_room_among_the_active_jobs_of_its_key(
    two_apis: TwoApis, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(active_jobs=2))
    free = AsKey(two_apis.first.http, await two_apis.key())
    jobs = [(await key.post("/jobs", failing(1))).json()["job"]["id"] for _ in range(2)]
    worker = start_worker(database_url, redis_url, echo_failure_rate=1)
    await has_ended(key, jobs[0])
    await end(two_apis, worker, key, jobs[1])
    # Whoever has a job run again has it among their active jobs, or nobody.
    assert (await free.post(f"/jobs/{jobs[0]}/retry")).json()["retried"] == 1
    others = [await key.post("/jobs", of_cells(1)) for _ in range(2)]
    assert [answer.status_code for answer in others] == [202, 202]
    before = tuple(await two_apis.database.fetchrow(STATE))
    for path in (f"/jobs/{jobs[1]}/retry", f"/jobs/{jobs[1]}/retry?dry_run=true"):
        refused = await key.post(path)
        assert (refused.status_code, refused.json()["quota"]) == (429, "active_jobs"), refused.text
    assert tuple(await two_apis.database.fetchrow(STATE)) == before
    assert (await key.post(f"/jobs/{others[0].json()['job']['id']}/cancel")).status_code == 202
    assert (await key.post(f"/jobs/{jobs[1]}/retry")).json()["retried"] == 1
    assert await two_apis.database.fetchval(ACTIVE) == 3
    assert (await key.post("/jobs", of_cells(1))).status_code == 429


async def test_parallel_retries_reopen_as_many_jobs_as_may_be_active(
    two_apis: TwoApis, start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    free = await two_apis.key()
    limited = await two_apis.key(active_jobs=2, cells_per_day=3)
    posted = await two_apis.post_all(free, (failing(1) for _ in range(8)))
    jobs = [answer.json()["job"]["id"] for answer in posted]
    worker = start_worker(database_url, redis_url, echo_failure_rate=1)
    for job in jobs[:-1]:
        await has_ended(AsKey(two_apis.first.http, free), job)
    await end(two_apis, worker, AsKey(two_apis.first.http, free), jobs[-1])
    answers = await asyncio.gather(
        *(AsKey(two_apis.clients[n % 2].http, limited).post(f"/jobs/{job}/retry") for n, job in enumerate(jobs))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 6
    assert await two_apis.database.fetchval(ACTIVE) == await two_apis.used() == 2


async def test_a_key_without_quotas_leaves_no_row(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key())
    assert (await key.post("/jobs", of_cells(2))).status_code == 202
    for table in ("key_usage", "active_jobs", "key_requests"):
        assert await two_apis.database.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_the_limits_of_a_key_are_shown_to_it(two_apis: TwoApis) -> None:
    text = await two_apis.key(Scope.JOBS_WRITE, Scope.JOBS_READ, cells_per_day=10, active_jobs=2)
    key = AsKey(two_apis.first.http, text)
    assert (await key.post("/jobs", of_cells(4))).status_code == 202
    shown = (await AsKey(two_apis.second.http, text).get("/limits")).json()
    assert shown["key_id"] == text.split("_")[1]
    jobs, cells = shown["limits"]
    assert jobs == {"name": "active_jobs", "limit": 2, "used": 1, "remaining": 1, "resets_at": None}
    assert {**cells, "resets_at": None} == {
        "name": "cells_per_day",
        "limit": 10,
        "used": 4,
        "remaining": 6,
        "resets_at": None,
    }
    unlimited = AsKey(two_apis.first.http, await make_key(two_apis.database))
    assert (await unlimited.get("/limits")).json()["limits"] == []


async def test_a_rotated_key_goes_on_with_what_is_used(two_apis: TwoApis) -> None:
    text = await two_apis.key(cells_per_day=3)
    assert (await AsKey(two_apis.first.http, text).post("/jobs", of_cells(3))).status_code == 202
    admin = AsKey(two_apis.second.http, await two_apis.key(Scope.ADMIN))
    rotated = AsKey(two_apis.second.http, (await admin.post(f"/keys/{text.split('_')[1]}/rotate")).json()["key"])
    assert (await rotated.post("/jobs", of_cells(1))).json()["used"] == 3


async def test_without_authentication_there_are_no_limits_to_show(own_client: Client) -> None:
    assert (await own_client.post(of_cells(1))).status_code == 202
    answer = await own_client.http.get("/limits")
    assert (answer.status_code, answer.json()) == (200, {"key_id": None, "limits": []})
    for table in ("key_usage", "active_jobs", "key_requests"):
        assert await own_client.database.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def has_ended(key: AsKey, job: str) -> None:
    async def look() -> bool:
        return (await key.get(f"/jobs/{job}")).json()["finished_at"] is not None

    await eventually_async(look, seconds=30, what="the job has ended")


async def end(two_apis: TwoApis, worker: Process, key: AsKey, job: str) -> None:
    """Wait until the job has ended, then stop the worker, so that what is planned anew stays planned."""
    await has_ended(key, job)
    await asyncio.to_thread(worker.stop)


def failing(cells: int) -> Json:
    """A spec whose cells have one try each."""
    return of_cells(cells, policy={"max_attempts": 1})
