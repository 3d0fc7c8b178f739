"""Retry: failed cells are planned anew and run again once; others stay, and a repeated retry does nothing."""

import asyncio
import random
from typing import Any

import pytest

from db import results
from db.engine import Connection
from db.results import BatchReport
from domain.errors import JobCancelled, NotFound
from domain.plan import READY_WINDOW
from tests.support.connections import database_connections
from tests.support.controls import WHO, events, waits_for_a_lock
from tests.support.job_seeds import Seeded, Seeds, completed, failed, retried
from tests.support.outcomes import assert_audit, attempts, statuses

FOUR = ["One?", "Two?", "Three?", "Four?"]


async def ended(seeds: Seeds, *ends: Any, **body: Any) -> Seeded:
    """A job whose batches ended as `ends` say, one after the other."""
    job = await seeds.submit(**body)
    await seeds.plan()
    claimed = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
    await seeds.record(*(ends[n % len(ends)](batch) for n, batch in enumerate(claimed)))
    return job


async def run_all(seeds: Seeds, end: Any = completed) -> int:
    """Claim and end everything that is due; return how many batches that were."""
    batches = 0
    while claimed := await seeds.claim():
        await seeds.record(*(end(batch) for batch in claimed))
        batches += len(claimed)
    return batches


async def progress(connection: Connection) -> tuple[Any, ...]:
    return tuple(await connection.fetchrow("SELECT status, completed, failed, finished_at IS NULL FROM jobs"))


async def test_only_failed_cells_run_again(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, completed, failed, questions=FOUR)
    result = await controls.retry(job.id)
    assert (result.status, result.retried, result.untouched) == ("running", 2, 2)
    assert await progress(connection) == ("running", 2, 0, True)
    await assert_audit(connection)
    [batch] = await seeds.claim()
    assert (batch.attempts, batch.fence) == ([1, 1], 2)
    await seeds.record(completed(batch))
    assert await progress(connection) == ("completed", 4, 0, False)
    assert await attempts(connection) == {("completed", 1): 2, ("completed", 2): 2}
    await assert_audit(connection)


async def test_the_tries_before_are_kept_and_forgiven_and_the_next_call_has_a_new_key(
    seeds: Seeds, controls, connection
) -> None:
    job = await ended(seeds, failed, questions=FOUR[:2])
    first = await connection.fetch("SELECT started_at, finished_at FROM executions ORDER BY question_no")
    await controls.retry(job.id)
    kept = await connection.fetch(
        """
        SELECT attempt_no, status, started_at, finished_at, provider_used, error_code, error_detail, error_retryable
        FROM attempts ORDER BY question_no
        """
    )
    assert [tuple(row) for row in kept] == [
        (1, "failed", row["started_at"], row["finished_at"], "echo", "busy", "Busy.", False) for row in first
    ]
    cells = await connection.fetch(
        """
        SELECT attempts, forgiven, key_no, started_at, finished_at, provider_used, error_code, error_detail
        FROM executions
        """
    )
    assert [tuple(row) for row in cells] == [(1, 1, 1, None, None, None, None, None)] * 2


async def test_a_second_retry_counts_on(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, failed, questions=FOUR[:2])
    for times in (1, 2, 3):
        assert (await controls.retry(job.id)).retried == 2
        await run_all(seeds, failed)
        row = await connection.fetchrow("SELECT attempts, forgiven, key_no FROM executions LIMIT 1")
        assert tuple(row) == (times + 1, times, times)
        await assert_audit(connection)


async def test_the_event_names_the_client_the_reason_and_the_status_before(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, completed, failed, questions=FOUR)
    await controls.retry(job.id, region="us-east", reason="the provider is back")
    *_, (kind, data) = await events(connection, job.job_no)
    assert (kind, data) == (
        "retried",
        {
            "by": WHO,
            "reason": "the provider is back",
            "filter": {"region": "us-east"},
            "cells": 2,
            "verdict": "failed",
            "batches": [{"batch_id": 2, "cells": 2}],
        },
    )
    trigger = await connection.fetchrow(
        "SELECT source, outcome, worker_no, finished_at >= started_at FROM triggers ORDER BY trigger_no DESC LIMIT 1"
    )
    assert tuple(trigger) == ("retry", "joined", controls.worker_no, True)


@pytest.mark.parametrize(
    ("wanted", "cells"),
    [
        ({"region": "us-east"}, 4),
        ({"region": "asia-pacific"}, 0),
        ({"model": "m-b"}, 4),
        ({"model": "nobody"}, 0),
        ({"error_code": "busy"}, 8),
        ({"error_code": "timeout"}, 0),
        ({"region": "eu-west", "model": "m-a", "error_code": "busy"}, 2),
    ],
)
async def test_a_retry_with_a_filter_retries_only_the_cells_that_match(
    seeds, controls, connection, wanted: dict[str, str], cells: int
) -> None:
    job = await ended(seeds, failed, models=["m-a", "m-b"], regions=["US", "EU"], questions=FOUR[:2])
    result = await controls.retry(job.id, **wanted)
    assert (result.retried, result.untouched) == (cells, 8 - cells)
    assert result.status == ("running" if cells else "failed")
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status = 'planned'") == cells
    await run_all(seeds)
    await assert_audit(connection)


async def test_only_a_part_of_a_batch_comes_back(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, failed, models=["m-a", "m-b"], questions=["One?"])
    assert (await controls.retry(job.id, model="m-b")).retried == 1
    batch = await connection.fetchrow("SELECT status, cells, open_cells FROM batches")
    assert tuple(batch) == ("pending", 2, 1)
    await assert_audit(connection)
    [claimed] = await seeds.claim()
    assert claimed.model_nos == [1]
    await seeds.record(completed(claimed))
    assert await progress(connection) == ("failed", 1, 1, False)
    assert (await controls.retry(job.id)).retried == 1
    await run_all(seeds)
    assert await progress(connection) == ("completed", 2, 0, False)
    await assert_audit(connection)


async def test_a_partial_job_runs_again_too(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, completed, failed, questions=FOUR, policy={"min_success_rate": 0.5})
    assert await progress(connection) == ("partial", 2, 2, False)
    assert (await controls.retry(job.id)).retried == 2
    await run_all(seeds, failed)
    assert await progress(connection) == ("partial", 2, 2, False)
    assert [data["verdict"] for kind, data in await events(connection, job.job_no) if kind == "retried"] == ["partial"]
    await assert_audit(connection)


async def test_a_running_job_gets_its_failed_cells_back(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit(questions=FOUR)
    await seeds.plan()
    first, second = await seeds.claim()
    await seeds.record(failed(first))
    result = await controls.retry(job.id)
    assert (result.status, result.retried, result.untouched) == ("running", 2, 2)
    assert (await events(connection, job.job_no))[-1][1]["verdict"] is None
    await assert_audit(connection)
    await seeds.record(completed(second))
    assert await progress(connection) == ("running", 2, 0, True)
    await run_all(seeds)
    assert await progress(connection) == ("completed", 4, 0, False)
    await assert_audit(connection)


@pytest.mark.parametrize("end", [completed, failed])
async def test_a_batch_that_a_worker_holds_has_more_to_do_than_its_holder_knows(
    seeds: Seeds, controls, connection, end: Any
) -> None:
    """Its holder goes on as before; once it lets go, the rest is due."""
    job = await seeds.submit(questions=FOUR[:2])
    await seeds.plan()
    [batch] = await seeds.claim()
    first, _ = failed(batch).ended
    await seeds.record(BatchReport(batch, ended=[first]))
    result = await controls.retry(job.id)
    assert (result.status, result.retried) == ("running", 1)
    batch_row = await connection.fetchrow("SELECT status, open_cells, fence FROM batches")
    assert tuple(batch_row) == ("running", 2, batch.fence)
    assert await seeds.claim() == []
    await assert_audit(connection)
    last = end(batch)
    del last.ended[:1], last.completed[:1]
    await seeds.record(last)
    assert (await connection.fetchval("SELECT status FROM jobs")) == "running"
    [again] = await seeds.claim()
    assert (again.question_nos, again.key_nos, again.forgiven) == ([0], [1], [1])
    await seeds.record(completed(again))
    assert (await connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs")) is True
    await assert_audit(connection)


async def test_a_retried_cell_does_not_wait_for_the_later_try_of_its_neighbour(
    seeds: Seeds, controls, connection
) -> None:
    job = await seeds.submit(questions=FOUR[:2])
    await seeds.plan()
    [batch] = await seeds.claim()
    mixed = retried(batch, due_in_seconds=3600)
    mixed.retried.pop()
    mixed.ended.append(failed(batch).ended[1])
    await seeds.record(mixed)
    assert await seeds.claim() == []
    assert (await controls.retry(job.id)).retried == 1
    [again] = await seeds.claim()
    assert again.question_nos == batch.question_nos[1:]
    assert again.next_due_seconds is not None
    assert again.next_due_seconds > 3000
    await assert_audit(connection)


@pytest.mark.parametrize("end", [completed, None])
async def test_where_nothing_failed_nothing_happens(seeds: Seeds, controls, connection, end: Any) -> None:
    job = await (ended(seeds, end, questions=FOUR) if end else seeds.submit(questions=FOUR))
    before = await connection.fetch("SELECT * FROM jobs"), await connection.fetch("SELECT * FROM triggers")
    result = await controls.retry(job.id)
    assert (result.status, result.retried, result.untouched) == ("completed" if end else "queued", 0, 4)
    assert (await connection.fetch("SELECT * FROM jobs"), await connection.fetch("SELECT * FROM triggers")) == before


async def test_a_cancelled_job_is_refused(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit(questions=FOUR)
    await seeds.plan()
    first, _ = await seeds.claim()
    await seeds.record(failed(first))
    await controls.cancel(job.id)
    with pytest.raises(JobCancelled):
        await controls.retry(job.id)
    with pytest.raises(JobCancelled):
        await controls.retry_execution(f"{job.job_no}-0-0-0")
    assert await attempts(connection) == {("failed", 1): 2, ("cancelled", 0): 2}
    await assert_audit(connection)


async def test_a_long_job_comes_back_by_windows(seeds: Seeds, controls, connection) -> None:
    """As many batches are ready as of a new job; the end of each releases one more, until none is left."""
    seeds.batch_cells = 1
    questions = [f"Question {n}?" for n in range(2 * READY_WINDOW + 3)]
    job = await ended_by_windows(seeds, regions=["US", "EU"], questions=questions)
    await controls.retry(job.id)
    for region in ("us-east", "eu-west"):
        ready = await connection.fetch("SELECT batch_no, lane FROM ready WHERE region = $1 ORDER BY turn", region)
        numbers = [row["batch_no"] for row in ready]
        assert len(numbers) == READY_WINDOW
        assert numbers == sorted(numbers)
        assert {row["lane"] for row in ready} == {1}
    await assert_audit(connection)
    waves = []
    while claimed := await seeds.claim():
        waves.append(len(claimed))
        await seeds.record(*(completed(batch) for batch in claimed))
    assert waves == [2 * READY_WINDOW, 2 * READY_WINDOW, 6]
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)


async def ended_by_windows(seeds: Seeds, **body: Any) -> Seeded:
    job = await seeds.submit(**body)
    await seeds.plan()
    await run_all(seeds, failed)
    return job


async def test_a_part_of_a_long_job_comes_back_in_a_chain_of_its_own(seeds: Seeds, controls, connection) -> None:
    seeds.batch_cells = 1
    questions = [f"Question {n}?" for n in range(3 * READY_WINDOW)]
    job = await seeds.submit(questions=questions)
    await seeds.plan()
    while claimed := await seeds.claim():
        await seeds.record(*((failed if batch.batch_no % 2 else completed)(batch) for batch in claimed))
    await controls.retry(job.id)
    chain = await connection.fetch("SELECT batch_no, next_batch_no FROM batches WHERE status = 'pending' ORDER BY 1")
    odd = list(range(1, 3 * READY_WINDOW, 2))
    assert [tuple(row) for row in chain] == list(zip(odd, [*odd[READY_WINDOW:], *[None] * READY_WINDOW], strict=True))
    assert await run_all(seeds) == len(odd)
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)


async def test_first_runs_go_before_retries(seeds: Seeds, controls, connection) -> None:
    """While others wait: also those that come after the retry was pressed, if they are small."""
    retried_job = await ended(seeds, failed, questions=FOUR[:2])
    before = await seeds.submit(questions=FOUR[:1])
    await seeds.plan()
    await controls.retry(retried_job.id)
    after = await seeds.submit(questions=FOUR)
    await seeds.plan()
    order = await connection.fetch("SELECT job_no FROM ready ORDER BY turn")
    assert [row["job_no"] for row in order] == [before.job_no, after.job_no, after.job_no, retried_job.job_no]


async def test_the_time_to_begin_starts_anew(seeds: Seeds, controls, connection) -> None:
    patient = await ended(seeds, failed, questions=FOUR[:2])
    hurried = await ended(seeds, failed, questions=FOUR[:2], policy={"queue_timeout_seconds": 60})
    await connection.execute("UPDATE batches SET started_at = created_at")
    for job in (patient, hurried):
        await controls.retry(job.id)
    overdue = await connection.fetch(
        "SELECT overdue_at - now() BETWEEN interval '50 s' AND interval '60 s', started_at FROM batches ORDER BY job_no"
    )
    assert [tuple(row) for row in overdue] == [(None, None), (True, None)]


async def test_one_execution_is_retried_alone(seeds: Seeds, controls, connection) -> None:
    """Also the one whose every number is 0."""
    job = await ended(seeds, failed, questions=FOUR)
    result = await controls.retry_execution(f"{job.job_no}-0-0-0", reason="try this one")
    assert (result.retried, result.untouched, result.status, result.batch_no) == (1, 0, "running", 1)
    again = await controls.retry_execution(f"{job.job_no}-0-0-0")
    assert (again.retried, again.untouched, again.batch_no) == (0, 1, None)
    assert await attempts(connection) == {("planned", 1): 1, ("failed", 1): 3}
    *_, (_, data) = await events(connection, job.job_no)
    assert data["filter"] == {"execution_id": f"{job.job_no}-0-0-0"}
    await run_all(seeds)
    await assert_audit(connection)


@pytest.mark.parametrize("given", ["absent", "", "1-0-0", "999-0-0-0", "{job}-0-0-9", "{job}-0-1-0", "1-0-0-999"])
async def test_an_unknown_execution_is_not_found(seeds: Seeds, controls, connection, given: str) -> None:
    job = await ended(seeds, failed, questions=FOUR)
    with pytest.raises(NotFound):
        await controls.retry_execution(given.format(job=job.job_no))
    assert await attempts(connection) == {("failed", 1): 4}


async def test_an_execution_that_has_not_failed_is_left(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, completed, questions=FOUR)
    result = await controls.retry_execution(f"{job.job_no}-0-0-0")
    assert (result.retried, result.untouched, result.status) == (0, 1, "completed")
    assert await attempts(connection) == {("completed", 1): 4}


async def test_many_presses_at_once_are_one_retry(seeds: Seeds, controls, connection) -> None:
    job = await ended(seeds, failed, questions=FOUR)
    presses = await asyncio.gather(
        *(controls.retry(job.id) for _ in range(20)),
        *(controls.retry_execution(f"{job.job_no}-0-0-0") for _ in range(9)),
    )
    assert sum(press.retried for press in presses) == 4
    assert await attempts(connection) == {("planned", 1): 4}
    assert await connection.fetchval("SELECT max(key_no) FROM executions") == 1
    await run_all(seeds)
    assert await attempts(connection) == {("completed", 2): 4}
    await assert_audit(connection)


async def test_a_final_status_that_is_being_written_is_waited_for_and_taken_back(
    seeds: Seeds, controls, connection, database_url
) -> None:
    job = await seeds.submit(questions=FOUR)
    await seeds.plan()
    first, second = sorted(await seeds.claim(), key=lambda batch: batch.batch_no)
    await seeds.record(failed(first))
    async with database_connections(database_url) as (flushing,):
        async with flushing.transaction():
            await results.record(flushing, [failed(second)], source="w")
            retrying = asyncio.create_task(controls.retry(job.id))
            await waits_for_a_lock(connection, retrying)
        assert (await retrying).retried == 2
    assert await progress(connection) == ("running", 0, 2, True)
    *_, (_, data) = await events(connection, job.job_no)
    assert (data["verdict"], data["batches"]) == ("failed", [{"batch_id": 1, "cells": 2}])
    await assert_audit(connection)


async def test_a_retry_races_with_the_end_of_its_job(seeds: Seeds, controls, connection: Connection) -> None:
    """The retry sees the job before or after its final status, and takes that back; nothing is lost in between.

    The first two rounds go both ways; the others go either way.
    """
    dice = random.Random(13)
    found = []
    for number in range(200):
        job = await seeds.submit(questions=FOUR)
        await seeds.plan()
        first, second = await seeds.claim()
        await seeds.record(failed(first))
        steps = [controls.retry(job.id), seeds.record(failed(second))]
        if number == 1 or (number > 1 and dice.random() < 0.5):
            steps.reverse()
        if number < 2:
            for step in steps:
                await step
        else:
            await asyncio.gather(*steps)
        *_, (_, data) = [event for event in await events(connection, job.job_no) if event[0] == "retried"]
        found.append((data["verdict"], data["cells"]))
        await run_all(seeds)
    assert {("failed", 4), (None, 2)} <= set(found)
    assert await statuses(connection) == {
        "completed": found.count(("failed", 4)),
        "failed": 200 - found.count(("failed", 4)),
    }
    assert controls.repeated == 0
    await assert_audit(connection)


async def test_a_retry_that_races_with_a_cancel_leaves_a_job_whose_audit_holds(
    seeds: Seeds, controls, connection: Connection
) -> None:
    """In the first round the cancel comes first; the others go any way."""
    dice = random.Random(14)
    found = set()
    for number in range(100):
        job = await seeds.submit(questions=FOUR)
        await seeds.plan()
        first, second = await seeds.claim()
        await seeds.record(failed(first))
        if number == 0:
            await controls.cancel(job.id)
        steps = [controls.retry(job.id), controls.cancel(job.id), seeds.record(failed(second))]
        dice.shuffle(steps)
        outcomes = await asyncio.gather(*steps, return_exceptions=True)
        assert all(not isinstance(outcome, Exception) or isinstance(outcome, JobCancelled) for outcome in outcomes)
        await run_all(seeds)
        found.add(await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job.job_no))
    assert "cancelled" in found
    assert controls.repeated == 0
    await assert_audit(connection)
