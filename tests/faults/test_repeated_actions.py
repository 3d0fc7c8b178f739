"""Fifty presses of the same button at the same moment, at two API processes: one effect, and no error."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.controls import end_unknown, exhausted
from tests.support.job_seeds import Seeded, Seeds, completed
from tests.support.outcomes import assert_audit, attempts
from tests.support.service import Process
from tests.support.simultaneous_clients import Reply, SimultaneousClients, simultaneous_clients

AT_ONCE = 50


@pytest.fixture(scope="module")
def clients() -> Iterator[SimultaneousClients]:
    with simultaneous_clients(2) as started:
        yield started


@pytest.fixture
def apis(database_url: str, redis_url: str, start_api) -> list[str]:
    started: list[Process] = [start_api(database_url, redis_url) for _ in range(2)]
    return [api.url for api in started]


async def job_with_dead_letters(seeds: Seeds) -> Seeded:
    job = await seeds.submit(questions=["One?", "Two?", "Three?", "Four?"])
    await seeds.plan()
    await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))
    return job


def press(clients: SimultaneousClients, apis: list[str], path: str, bodies: list[Any] | None = None) -> list[Reply]:
    return clients.post(apis, bodies or [{}] * AT_ONCE, path=path)


async def test_one_of_fifty_cancels_at_once_cancels(clients, apis, seeds: Seeds, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?", "Three?", "Four?"])
    await seeds.plan()
    [first, second] = await seeds.claim()
    await seeds.record(completed(first))
    replies = press(clients, apis, f"/jobs/{job.id}/cancel")
    assert Counter(reply.status for reply in replies) == {202: 1, 200: AT_ONCE - 1}
    assert sum(reply.body["cancelled"] for reply in replies) == 2
    assert await connection.fetchval("SELECT fence FROM batches WHERE batch_no = $1", second.batch_no) == 2
    await assert_audit(connection)


async def test_one_of_fifty_retries_of_a_job_at_once_retries(clients, apis, seeds: Seeds, connection) -> None:
    job = await job_with_dead_letters(seeds)
    replies = press(clients, apis, f"/jobs/{job.id}/retry")
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.body["retried"] for reply in replies) == [0] * (AT_ONCE - 1) + [4]
    await runs_once(seeds, connection, cells=4)


async def test_one_of_fifty_retries_of_an_execution_at_once_retries(clients, apis, seeds: Seeds, connection) -> None:
    job = await job_with_dead_letters(seeds)
    replies = press(clients, apis, f"/executions/{job.job_no}-0-0-0/retry")
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.body["retried"] for reply in replies) == [0] * (AT_ONCE - 1) + [1]
    await runs_once(seeds, connection, cells=1)


async def test_one_of_fifty_replays_at_once_replays(clients, apis, seeds: Seeds, connection) -> None:
    await job_with_dead_letters(seeds)
    replies = press(clients, apis, "/queue/dead/1/replay")
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.body["retried"] for reply in replies) == [0] * (AT_ONCE - 1) + [1]
    await runs_once(seeds, connection, cells=1)


async def test_one_of_two_resolutions_at_once_holds_and_the_other_is_refused(
    clients, apis, seeds: Seeds, connection
) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [batch] = await seeds.claim()
    await end_unknown(seeds, batch)
    answers = [{"status": "completed", "output": "Paris."}, {"status": "failed"}] * (AT_ONCE // 2)
    replies = press(clients, apis, f"/executions/{job.job_no}-0-0-0/resolve", answers)
    assert Counter(reply.status for reply in replies) == {200: AT_ONCE // 2, 409: AT_ONCE // 2}
    assert len({reply.body["status"] for reply in replies if reply.status == 200}) == 1
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'resolved'") == 1
    assert await connection.fetchval("SELECT unknown FROM jobs") == 1
    await assert_audit(connection)


async def test_one_of_fifty_releases_at_once_releases(clients, apis, seeds: Seeds, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [held] = await seeds.claim()
    replies = press(clients, apis, f"/jobs/{job.id}/batches/1/release")
    assert {reply.status for reply in replies} == {200}
    assert sum(reply.body["released"] for reply in replies) == 1
    assert await connection.fetchval("SELECT fence FROM batches") == held.fence + 1
    await assert_audit(connection)


async def runs_once(seeds: Seeds, connection, *, cells: int) -> None:
    """So many cells wait to run once more, each under one new key, and a run of them ends them."""
    assert (await attempts(connection))["planned", 1] == cells
    assert await connection.fetchval("SELECT max(key_no) FROM executions") == 1
    while claimed := await seeds.claim():
        await seeds.record(*(completed(batch) for batch in claimed))
    assert (await attempts(connection))["completed", 2] == cells
    await assert_audit(connection)
