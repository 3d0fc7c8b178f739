"""Cancel: everything open ends at once and stays so, even if a worker runs it at that moment."""

import asyncio
import random

import pytest

from db.engine import Connection
from domain.errors import NotFound
from tests.support.connections import database_connections
from tests.support.controls import WHO, Controls, events, waits_for_a_lock
from tests.support.job_seeds import Seeds, completed, failed, retried
from tests.support.outcomes import assert_audit, attempts, statuses
from tests.support.planned_batches import plan_queued

SIX = ["One?", "Two?", "Three?", "Four?", "Five?", "Six?"]


async def test_a_job_that_waits_ends_at_once(seeds: Seeds, controls: Controls, connection) -> None:
    job = await seeds.submit(questions=SIX)
    cancelled = await controls.cancel(job.id, reason="posted by mistake")
    assert (cancelled.status, cancelled.cells, cancelled.cells_by_pool) == ("cancelled", 6, {})
    await seeds.plan()
    assert await seeds.claim() == []
    assert await attempts(connection) == {}
    assert await events(connection, job.job_no) == [
        ("cancelled", {"by": WHO, "reason": "posted by mistake", "cells": 6})
    ]
    await assert_audit(connection)


async def test_triggers_that_waited_for_its_plan_get_their_outcome(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit()
    await connection.execute("INSERT INTO triggers (job_no, source) VALUES ($1, 'manual')", job.job_no)
    assert (await controls.cancel(job.id)).failed_triggers == ["manual"]
    trigger = await connection.fetchrow("SELECT outcome, worker_no, finished_at >= started_at AS ended FROM triggers")
    assert tuple(trigger) == ("failed", controls.worker_no, True)


async def test_a_job_that_is_being_planned_is_waited_for(seeds, controls, connection, database_url) -> None:
    job = await seeds.submit(questions=SIX)
    async with database_connections(database_url) as (planner,):
        async with planner.transaction():
            await plan_queued(planner, batch_cells=2)
            cancelling = asyncio.create_task(controls.cancel(job.id))
            await waits_for_a_lock(connection, cancelling)
        cancelled = await cancelling
    assert (cancelled.status, cancelled.cells_by_pool) == ("cancelled", {("echo", "us-east"): 6})
    assert await attempts(connection) == {("cancelled", 0): 6}
    await assert_audit(connection)


async def test_running_and_waiting_cells_end_and_ended_cells_stay(seeds, controls, connection) -> None:
    job = await seeds.submit(questions=SIX)
    await seeds.plan()
    first, second, third = await seeds.claim()
    await seeds.record(completed(first), retried(third, due_in_seconds=60))
    await seeds.record(completed(second, first=1))
    cancelled = await controls.cancel(job.id)
    assert (cancelled.status, cancelled.cells) == ("cancelled", 3)
    assert await attempts(connection) == {("completed", 1): 3, ("cancelled", 0): 1, ("cancelled", 1): 2}
    assert await connection.fetchval("SELECT count(*) FROM ready") == 0
    ended = await connection.fetchrow("SELECT status, completed, cancelled, finished_at IS NOT NULL FROM jobs")
    assert tuple(ended) == ("cancelled", 3, 3, True)
    await assert_audit(connection)


async def test_a_late_report_of_the_former_holder_changes_nothing(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit(questions=SIX)
    await seeds.plan()
    held = await seeds.claim()
    await controls.cancel(job.id)
    recorded = await seeds.record(*(completed(batch) for batch in held))
    assert (len(recorded.written), len(recorded.stale), recorded.jobs) == (0, 3, [])
    assert await attempts(connection) == {("cancelled", 0): 6}
    assert await connection.fetchval("SELECT min(fence) FROM batches") == 2
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE holder IS NOT NULL OR slots > 0") == 0
    await assert_audit(connection)


async def test_a_call_that_was_marked_as_started_ends_too(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit(questions=SIX)
    await seeds.plan()
    await seeds.claim()
    await connection.execute(
        "UPDATE executions SET status = 'running', started_at = clock_timestamp() WHERE question_no = 0"
    )
    assert (await controls.cancel(job.id)).cells == 6
    assert await attempts(connection) == {("cancelled", 0): 5, ("cancelled", 1): 1}
    (kept,) = await connection.fetch("SELECT question_no, attempt_no, status, error_code FROM attempts")
    assert tuple(kept) == (0, 1, "unknown", "cancelled_in_call")
    await assert_audit(connection)


@pytest.mark.parametrize(("end", "status"), [(completed, "completed"), (failed, "failed")])
async def test_a_job_that_has_ended_is_left_as_it_is(seeds, controls, connection, end, status: str) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.record(*(end(batch) for batch in await seeds.claim()))
    before = await connection.fetch("SELECT * FROM jobs")
    cancelled = await controls.cancel(job.id)
    assert (cancelled.status, cancelled.cells) == (status, 0)
    assert await connection.fetch("SELECT * FROM jobs") == before


async def test_a_cancelled_job_is_not_cancelled_again(seeds: Seeds, controls, connection) -> None:
    job = await seeds.submit(questions=SIX)
    await seeds.plan()
    presses = await asyncio.gather(*(controls.cancel(job.id) for _ in range(20)))
    assert sorted(press.cells for press in presses) == [0] * 19 + [6]
    assert {press.status for press in presses} == {"cancelled"}
    assert [kind for kind, _ in await events(connection, job.job_no)] == ["coordinated", "cancelled"]
    await assert_audit(connection)


@pytest.mark.parametrize("job_id", ["absent", "", "\0", "x" * 101])
async def test_an_unknown_job_is_not_found(controls: Controls, job_id: str) -> None:
    with pytest.raises(NotFound):
        await controls.cancel(job_id)


async def test_another_tenants_job_is_not_found(seeds: Seeds, controls, connection) -> None:
    await connection.execute("INSERT INTO tenants (name) VALUES ('other')")
    job = await seeds.submit(tenant_no=2)
    with pytest.raises(NotFound):
        await controls.cancel(job.id)
    assert await statuses(connection) == {"queued": 1}


async def test_cancel_against_finish(seeds: Seeds, controls, connection: Connection) -> None:
    """The first to come decides; the other finds that out, and the caller sees no deadlock."""
    dice = random.Random(11)
    found = []
    for _ in range(200):
        job = await seeds.submit(questions=SIX[:4])
        await seeds.plan()
        first, second = await seeds.claim()
        await seeds.record(completed(first))
        steps = [controls.cancel(job.id), seeds.record(completed(second))]
        if dice.random() < 0.5:
            steps.reverse()
        await asyncio.gather(*steps)
        found.append(await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job.job_no))
    assert {"completed", "cancelled"} == set(found)
    assert controls.repeated == 0
    await assert_audit(connection)


async def test_cancel_against_planning_and_claiming(seeds: Seeds, controls, connection: Connection) -> None:
    """The first two rounds go both ways; the others go either way."""
    dice = random.Random(12)
    found = set()
    for number in range(100):
        job = await seeds.submit(questions=SIX)
        if number == 0:
            await controls.cancel(job.id)
        elif number == 1:
            await seeds.plan()
            await seeds.claim()
        steps = [seeds.plan(), seeds.claim(), controls.cancel(job.id)]
        dice.shuffle(steps)
        await asyncio.gather(*steps)
        found.add(await connection.fetchval("SELECT started_at IS NULL FROM jobs WHERE job_no = $1", job.job_no))
        assert await seeds.claim() == []
    assert found == {True, False}
    assert await statuses(connection) == {"cancelled": 100}
    assert controls.repeated == 0
    await assert_audit(connection)
