"""Small jobs don't wait behind large ones, whatever came first; nor a tenant's behind those of another."""

import random
import sys

import pytest

from configuration.agreement import agree
from configuration.content import read_configuration
from db.engine import create_engine
from runtime.configured_secrets import read_secrets
from runtime.settings import Settings
from tests.support.access import make_tenant
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body_of, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.worker_contexts import worker_context
from tests.support.workers import Fleet
from worker.configuration import Served
from worker.inference.coordinator import Coordinator
from worker.providers.configured import Providers

AT_ONCE = 50
"""Jobs stored in one transaction, as many POSTs at once would be."""
SMALL_JOB_SECONDS = 1.0


async def waits_of_small_jobs(connection) -> list[float]:
    """Seconds from queued to finished of each one-cell job, shortest first."""
    rows = await connection.fetch(
        "SELECT extract(EPOCH FROM finished_at - queued_at)::float8 AS seconds FROM jobs WHERE planned = 1 ORDER BY 1"
    )
    return [row["seconds"] for row in rows]


async def run_mixed(fleet: Fleet, connection, sizes: list[int], *, seconds: float) -> tuple[list[float], float]:
    """Post jobs of these sizes as fast as they are taken; return the small ones' waits, and what all together took."""
    fleet.start(4)
    for start in range(0, len(sizes), AT_ONCE):
        job_nos = await store_jobs(connection, map(job_body_of, sizes[start : start + AT_ONCE]))
        await publish_envelopes(fleet.redis_url, job_nos)
    await all_ended(connection, seconds=seconds)
    await assert_audit(connection)
    waits = await waits_of_small_jobs(connection)
    took, cells = await connection.fetchrow(
        "SELECT extract(EPOCH FROM max(finished_at) - min(queued_at))::float8, sum(planned) FROM jobs"
    )
    p99 = waits[int(len(waits) * 0.99) - 1]
    said = f"{cells} cells of {len(sizes)} jobs in {took:.1f} s; {len(waits)} small ones waited"
    sys.stdout.write(f"{said} {p99:.3f} s (p99), {waits[-1]:.3f} s at most\n")
    return waits, took


def mixed_sizes(jobs: int) -> list[int]:
    """A third of one cell, the others up to 2,000, in random order."""
    dice = random.Random(1000)
    sizes = [1] * (jobs // 3) + [dice.randint(1, 2000) for _ in range(jobs - jobs // 3)]
    dice.shuffle(sizes)
    return sizes


async def test_a_worker_plans_the_jobs_of_tenants_in_turn(
    database_url: str, connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.inference.coordinator.CELLS_AT_ONCE", 1)  # a job at a time, as with large ones
    settings, other = Settings(), await make_tenant(connection, "other")
    await store_jobs(connection, [job_body_of(5)] * 20)
    (late,) = await store_jobs(connection, [job_body_of(10)], tenant_no=other)
    found = await read_configuration(connection)
    assert found is not None
    secrets = read_secrets(found.content.file)
    engine, providers = create_engine(database_url, size=1), Providers(settings)
    serving = providers.serve(found, secrets, agree(settings, found, secrets.reasons))
    coordinator = Coordinator(worker_context(engine, served=Served(serving)))
    planned = [(await coordinator.coordinate({}, 0)).job_nos for _ in range(2)]
    assert {late} in planned
    await providers.aclose()
    await engine.dispose()


@pytest.mark.alone
async def test_jobs_of_one_cell_are_not_behind_150_others(fleet: Fleet, connection) -> None:
    """A busy machine may take longer than a second for anything; in order of arrival some would wait for all others."""
    waits, took = await run_mixed(fleet, connection, mixed_sizes(150), seconds=60)
    assert waits[-1] < max(SMALL_JOB_SECONDS, took * 0.6)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_no_job_of_one_cell_waits_a_second_behind_1000_others(fleet: Fleet, connection) -> None:
    waits, _ = await run_mixed(fleet, connection, mixed_sizes(1000), seconds=500)
    assert waits[-1] < SMALL_JOB_SECONDS
