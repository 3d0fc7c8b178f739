"""Actions over a filter while jobs are submitted and run, while two act at once, and over a kill of the API."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2

from db.engine import Connection
from tests.domain.bodies import plain
from tests.support.job_seeds import Seeds
from tests.support.jobs import queue_copies
from tests.support.service import StartProcess
from tests.support.waiting import eventually_async

QUEUED = 300
ENDED_BY_ACTION = """
SELECT job_no, count(*) AS times FROM events WHERE type = 'cancelled' GROUP BY job_no
"""
FILTER = "/jobs/cancel?name=storm"
SPEC = plain(name="storm", on_duplicate="create")


async def post(url: str, path: str, **sent: Any) -> Any:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        answer = await http.post(path, **sent)
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()


async def to_the_end(url: str, as_of: str) -> Any:
    """Repeat the action until nothing is left of it."""
    while (answer := await post(url, f"{FILTER}&as_of={as_of}"))["left"]:
        pass
    return answer


async def cancelled_jobs(connection: Connection) -> dict[int, int]:
    return {row["job_no"]: row["times"] for row in await connection.fetch(ENDED_BY_ACTION)}


class Submitter:
    """Submits jobs that match, one after the other, and remembers the moment of each by the dry run's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.before: list[str] = []
        self.meanwhile: list[str] = []
        self.after: list[str] = []
        self.ids: list[str] = self.before
        self.is_over = False

    async def run(self) -> None:
        async with httpx2.AsyncClient(base_url=self._url) as http:
            while not self.is_over:
                began = self.ids
                answer = await http.post("/jobs", json=SPEC)
                assert answer.status_code == 202, answer.text
                (began if began is self.ids else self.meanwhile).append(answer.json()["job"]["id"])

    async def has(self, ids: Sequence[str], count: int) -> None:
        async def look() -> bool:
            return len(ids) >= count

        await eventually_async(look, seconds=30)


async def test_two_act_while_jobs_come_in_and_run_and_take_those_of_the_dry_run_once(
    database_url: str, redis_url: str, start_api: StartProcess, start_worker: StartProcess, connection: Connection
) -> None:
    first, second = (start_api(database_url, redis_url).url for _ in range(2))
    submitter = Submitter(first)
    submitting = asyncio.create_task(submitter.run())
    await submitter.has(submitter.before, 40)
    start_worker(database_url, redis_url)
    submitter.ids = submitter.meanwhile
    matched = await post(second, f"{FILTER}&dry_run=true")
    submitter.ids = submitter.after
    answers = await asyncio.gather(to_the_end(first, matched["as_of"]), to_the_end(second, matched["as_of"]))
    await submitter.has(submitter.after, 20)
    submitter.is_over = True
    await submitting

    assert answers[0] == answers[1]
    done, skipped = answers[0]["done"], answers[0]["skipped"]
    assert done + sum(skipped.values()) == matched["matched"]
    assert skipped.keys() <= {"already_ended"}
    taken = await cancelled_jobs(connection)
    assert set(taken.values()) <= {1}
    assert len(taken) == done
    ids = {row["id"] for row in await connection.fetch("SELECT id FROM jobs WHERE job_no = ANY ($1)", list(taken))}
    assert not ids & set(submitter.after)
    sure, most = len(submitter.before), len(submitter.before) + len(submitter.meanwhile)
    assert sure <= matched["matched"] <= most
    ended = "SELECT count(*) FROM jobs WHERE id = ANY ($1) AND finished_at IS NULL"
    assert await connection.fetchval(ended, submitter.before) == 0


async def test_an_action_over_a_kill_of_the_api_takes_each_job_once(
    database_url: str, redis_url: str, start_api: StartProcess, seeds: Seeds, connection: Connection
) -> None:
    job = await seeds.submit(name="storm")
    await queue_copies(connection, job.job_no, QUEUED - 1)
    killed, other = (start_api(database_url, redis_url) for _ in range(2))
    as_of = (await post(killed.url, f"{FILTER}&dry_run=true"))["as_of"]
    acting = asyncio.create_task(post(killed.url, f"{FILTER}&as_of={as_of}", headers={"Idempotency-Key": "k"}))

    async def has_begun() -> bool:
        return len(await cancelled_jobs(connection)) >= 20

    await eventually_async(has_begun, seconds=30)
    killed.kill()
    [failure] = await asyncio.gather(acting, return_exceptions=True)
    assert isinstance(failure, httpx2.TransportError)
    before = len(await cancelled_jobs(connection))
    assert before < QUEUED
    again = await post(other.url, f"{FILTER}&as_of={as_of}", headers={"Idempotency-Key": "k"})
    assert (again["matched"], again["skipped"]) == (QUEUED, {})
    assert (await to_the_end(other.url, as_of))["done"] == QUEUED
    taken = await cancelled_jobs(connection)
    assert (len(taken), set(taken.values())) == (QUEUED, {1})
    async with httpx2.AsyncClient(base_url=other.url) as http:
        [operation] = (await http.get("/operations")).json()["items"]
    assert (operation["matched"], operation["done"], operation["skipped"]) == (QUEUED, QUEUED, 0)
