"""Which job is planned next: by virtual time, which nothing that can't be planned holds back."""

from collections.abc import AsyncIterator

import pytest

from db import coordination
from db.engine import Connection
from tests.support.configurations import CONFIGURATION_NO, IDENTITY_NOS
from tests.support.import_steps import ImportSteps, import_steps
from tests.support.jobs import job_body_of, store_jobs


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def plan_next(connection: Connection) -> int:
    """Plan the next job; return its number."""
    async with connection.transaction():
        (job, *_) = await coordination.lock_queued_jobs(
            connection, 1, configuration_no=CONFIGURATION_NO, identity_nos=IDENTITY_NOS.values()
        )
        await connection.execute("UPDATE jobs SET status = 'running', started_at = now() WHERE job_no = $1", job.job_no)
    return job.job_no


@pytest.mark.parametrize("waiting", [0, 1, 5])
async def test_a_large_job_gets_its_turn_while_imports_wait_for_their_source(ledger, connection, waiting: int) -> None:
    for _ in range(waiting):
        begun = await ledger.begin(await ledger.submit())
        await ledger.reschedule(begun, "source_unavailable", "The source is away.")
    (large,) = await store_jobs(connection, [job_body_of(100)])
    await store_jobs(connection, [job_body_of(1)])  # however small, it waits behind what came before
    assert await plan_next(connection) == large


async def test_a_small_job_still_goes_before_a_large_one_that_came_with_it(connection) -> None:
    large, small = await store_jobs(connection, [job_body_of(100), job_body_of(1)])
    assert await plan_next(connection) == small
    assert await plan_next(connection) == large


async def test_an_import_that_waits_for_its_source_holds_back_no_other_imports_turn(ledger, connection) -> None:
    waiting = await ledger.submit()
    begun = await ledger.begin(waiting)
    await ledger.reschedule(begun, "source_unavailable", "The source is away.")
    due = await ledger.submit()
    await connection.execute("UPDATE jobs SET turn = 50 WHERE job_no = $1", due)
    later = await ledger.submit()
    assert await connection.fetchval("SELECT turn FROM jobs WHERE job_no = $1", later) >= 50
