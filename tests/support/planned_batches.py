"""Plans and results written straight through `db/`, for tests that race transactions and need no worker."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from db import coordination
from db.batches import ClaimedBatch
from db.coordination import JobPlan
from db.engine import Connection
from db.results import BatchReport, CompletedCell
from domain.plan import PlannedBatch, Pool, plan
from domain.spec import JobSpec, Policy
from tests.support.configurations import CONFIGURATION_NO, IDENTITY_BY_POOL, IDENTITY_NOS
from tests.support.jobs import store_jobs

HOLDER = 41


async def plan_and_claim(
    connection: Connection, bodies: Iterable[Mapping[str, Any]], *, batch_cells: int, holder: int = HOLDER
) -> list[list[ClaimedBatch]]:
    """Store these jobs, plan them in batches of so many cells, and claim all of them; return the batches of each."""
    async with connection.transaction():
        await store_jobs(connection, bodies)
        return await plan_queued(connection, batch_cells=batch_cells, holder=holder)


async def plan_queued(
    connection: Connection, *, batch_cells: int, holder: int = HOLDER, is_claimed: bool = True
) -> list[list[ClaimedBatch]]:
    """Plan every queued job in the caller's transaction; return the batches of each, which are claimed or ready."""
    planned, plans = [], []
    for job in await coordination.lock_queued_jobs(
        connection, 100_000, configuration_no=CONFIGURATION_NO, identity_nos=IDENTITY_NOS.values()
    ):
        batches = plan(JobSpec.from_json(job.spec), lambda _name: Pool("echo", batch_cells))
        planned.append([_claimed(job.job_no, batch, holder, job.locked_at) for batch in batches])
        policy = JobSpec.from_json(job.spec).policy
        plans.append(_plan(job.job_no, batches, policy, is_claimed=is_claimed))
    await coordination.insert_plans(connection, plans, holder=holder, worker_no=1, lease_seconds=60)
    return planned


async def plan_under(connection: Connection, configuration_no: int, identity_no: int) -> None:
    """Plan queued jobs in batches of one cell, for one identity of provider hybrid."""
    async with connection.transaction():
        (job,) = await coordination.lock_queued_jobs(
            connection, 1, configuration_no=configuration_no, identity_nos=[identity_no]
        )
        planned = plan(JobSpec.from_json(job.spec), lambda _: Pool("hybrid", 1))
        job_plan = JobPlan(
            job_no=job.job_no,
            source="initial",
            is_recorded=False,
            is_delivered=True,
            batches=planned,
            claimed=frozenset(),
            event="{}",
            identity_by_pool={("hybrid", "us-east"): identity_no},
        )
        await coordination.insert_plans(connection, [job_plan], holder=1, worker_no=1, lease_seconds=60)


def _plan(job_no: int, batches: tuple[PlannedBatch, ...], policy: Policy, *, is_claimed: bool) -> JobPlan:
    return JobPlan(
        job_no=job_no,
        source="initial",
        is_recorded=False,
        is_delivered=True,
        batches=batches,
        claimed=frozenset(batch.batch_no for batch in batches if is_claimed),
        event="{}",
        identity_by_pool=IDENTITY_BY_POOL,
        max_concurrent=policy.max_concurrent,
        queue_timeout_seconds=policy.queue_timeout_seconds,
    )


def _claimed(job_no: int, batch: PlannedBatch, holder: int, claimed_at: float) -> ClaimedBatch:
    cells = list(batch.cell_nos())
    return ClaimedBatch(
        job_no=job_no,
        batch_no=batch.batch_no,
        wave_no=1,
        next_batch_no=None,
        provider="echo",
        region=batch.region,
        region_no=batch.region_no,
        fence=1,
        holder=holder,
        virtual_finish_time=0,
        waited_seconds=0,
        claimed_at=claimed_at,
        model_nos=[model_no for model_no, _ in cells],
        question_nos=[question_no for _, question_no in cells],
        attempts=[0] * len(cells),
        forgiven=[0] * len(cells),
        key_nos=[0] * len(cells),
        marked=[False] * len(cells),
        identity_no=IDENTITY_BY_POOL[batch.pool],
    )


def answered(batch: ClaimedBatch, *, output: str = "an answer") -> BatchReport:
    """A report in which every cell of a batch was answered."""
    now_us = int(time.time() * 1_000_000)
    cells = zip(batch.model_nos, batch.question_nos, strict=True)
    return BatchReport(
        batch,
        is_released=True,
        completed=[
            CompletedCell(batch.job_no, batch.region_no, model_no, question_no, now_us, now_us, "echo", None, output)
            for model_no, question_no in cells
        ],
    )
