"""Release of a lease: the next worker may claim at once, and the former holder writes nothing any more."""

import asyncio

import pytest

from domain.errors import NotFound
from tests.support.controls import WHO, Controls, events
from tests.support.job_seeds import Seeds, completed
from tests.support.outcomes import assert_audit, attempts


async def test_a_lease_is_released_and_the_batch_is_due(seeds: Seeds, controls: Controls, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [held] = await seeds.claim()
    released = await controls.release(job.id, held.batch_no, reason="the machine is gone")
    assert (released.is_released, released.held_by) == (True, "w-seeds")
    assert (await seeds.record(completed(held))).written == []
    [taken] = await seeds.claim()
    assert (taken.batch_no, taken.fence, taken.lost_leases) == (held.batch_no, held.fence + 2, 0)
    await seeds.record(completed(taken))
    assert await attempts(connection) == {("completed", 1): 2}
    [_, (kind, data), _] = await events(connection, job.job_no)
    assert (kind, data) == (
        "lease_released",
        {"by": WHO, "reason": "the machine is gone", "batch_id": 1, "cells": 2, "held_by": "w-seeds"},
    )
    await assert_audit(connection)


async def test_a_batch_without_a_holder_is_left(seeds: Seeds, controls: Controls, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    before = await connection.fetch("SELECT * FROM batches")
    assert not (await controls.release(job.id, 1)).is_released
    assert await connection.fetch("SELECT * FROM batches") == before
    assert len(await events(connection, job.job_no)) == 1


async def test_many_presses_at_once_are_one_release(seeds: Seeds, controls: Controls, connection) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.plan()
    [held] = await seeds.claim()
    presses = await asyncio.gather(*(controls.release(job.id, 1) for _ in range(20)))
    assert sum(press.is_released for press in presses) == 1
    assert await connection.fetchval("SELECT fence FROM batches") == held.fence + 1
    await assert_audit(connection)


async def test_release_against_finish(seeds: Seeds, controls: Controls, connection) -> None:
    """The first two rounds go both ways; the others go either way."""
    found = set()
    for number in range(100):
        job = await seeds.submit(questions=["One?", "Two?"])
        await seeds.plan()
        [held] = await seeds.claim()
        release, record = controls.release(job.id, 1), seeds.record(completed(held))
        if number == 0:
            released, recorded = await release, await record
        elif number == 1:
            recorded, released = await record, await release
        else:
            released, recorded = await asyncio.gather(release, record)
        assert released.is_released is not bool(recorded.written)
        found.add(released.is_released)
        for batch in await seeds.claim():
            await seeds.record(completed(batch))
    assert found == {True, False}
    assert controls.repeated == 0
    await assert_audit(connection)


async def test_an_unknown_batch_or_job_is_not_found(seeds: Seeds, controls: Controls) -> None:
    job = await seeds.submit()
    for job_id, batch_no in ((job.id, 1), ("absent", 1)):
        with pytest.raises(NotFound):
            await controls.release(job_id, batch_no)
