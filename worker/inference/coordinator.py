"""Planning inference jobs: a transaction takes many queued jobs, writes their plans, and claims batches."""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from db import coordination, counters
from db.batches import ClaimedBatch, PoolKey
from db.configurations import ConfigurationChanged
from db.coordination import JobPlan, PlanRefused, QueuedJob
from db.engine import Connection, in_transaction
from db.turns import charge
from domain.outcome import QUEUE_TIMEOUT
from domain.plan import PlannedBatch, plan
from domain.spec import JobSpec
from runtime.metrics import COORDINATION_SECONDS
from worker.context import Context
from worker.overdue_jobs import overdue_detail
from worker.providers.configured import Serving
from worker.trigger_counters import trigger_increments

JOBS_AT_ONCE = 256
CELLS_AT_ONCE = 2_000
"""Cells planned in a transaction, unless a single job has more: small jobs wait for its commit."""

UNPLANNABLE = "unplannable_spec"


@dataclass(slots=True)
class Planned:
    """The plans of a transaction, by job, and the batches that this worker claimed with them."""

    plans: list[JobPlan] = field(default_factory=list)
    specs: dict[int, JobSpec] = field(default_factory=dict)
    claimed: list[ClaimedBatch] = field(default_factory=list)
    claimed_cells: int = 0
    ready: list[tuple[int, int]] = field(default_factory=list)
    failures: list[tuple[int, str, str, str]] = field(default_factory=list)
    job_ids: dict[int, str] = field(default_factory=dict)
    has_more: bool = False

    def set_aside(self, refused: JobPlan, detail: str) -> None:
        """Remove the plan of a job that can't be planned."""
        self.plans.remove(refused)
        self.claimed = [batch for batch in self.claimed if batch.job_no != refused.job_no]
        self.ready = [(job_no, batch_no) for job_no, batch_no in self.ready if job_no != refused.job_no]
        self.failures.append((refused.job_no, refused.source, UNPLANNABLE, detail))

    @property
    def job_nos(self) -> set[int]:
        """The jobs that don't wait any more."""
        return {planned_job.job_no for planned_job in self.plans} | {job_no for job_no, *_ in self.failures}


Insert: TypeAlias = Callable[[Connection, Planned, int], Awaitable[None]]


class Coordinator:
    """Turns queued jobs into plans."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def coordinate(self, sources: Mapping[int, str], room: int) -> Planned:
        """Plan queued jobs in a transaction; claim up to about `room` cells of them if no other work is due.

        `sources` are the envelopes' sources by job; a job without an envelope was submitted, and its envelope is still
        to come.
        """
        started = time.monotonic()
        holder = secrets.randbits(63)

        async def together(connection: Connection) -> Planned:
            return await self._plan_queued(connection, self._insert, sources, room, holder)

        async def each_by_itself(connection: Connection) -> Planned:
            return await self._plan_queued(connection, self._insert_each, sources, room, holder)

        try:
            try:
                planned = await in_transaction(self._context.engine, together)
            except PlanRefused:
                planned = await in_transaction(self._context.engine, each_by_itself)
        except ConfigurationChanged:  # no job was planned; the follower repeats this under the other configuration
            self._context.served.is_stale.set()
            return Planned()
        if planned.plans or planned.failures:
            self._context.histograms[COORDINATION_SECONDS].observe(time.monotonic() - started)
            self._log(planned)
        return planned

    async def _plan_queued(
        self, connection: Connection, insert: Insert, sources: Mapping[int, str], room: int, holder: int
    ) -> Planned:
        serving = self._context.serving
        jobs = await coordination.lock_queued_jobs(
            connection,
            JOBS_AT_ONCE,
            CELLS_AT_ONCE,
            configuration_no=serving.configuration.number,
            identity_nos=serving.configuration.identity_nos.values(),
        )
        waiting = jobs[0].waiting if jobs else 0
        planned = Planned(has_more=waiting > len(jobs) or waiting == JOBS_AT_ONCE)
        for job in jobs:
            self._plan(job, planned, serving, source=sources.get(job.job_no, ""), room=room, holder=holder)
        began_at = max((job.locked_at for job in jobs), default=0.0)
        for batch in planned.claimed:  # all have the same time, but none is before its job's queueing
            batch.claimed_at = began_at
            batch.planned_us = round(began_at * 1_000_000)
        if planned.plans:
            await insert(connection, planned, holder)
        if planned.failures:
            await coordination.fail_queued_jobs(connection, planned.failures, self._context.worker_no)
        await self._record_outcomes(connection, jobs, planned)
        await charge(connection, ((job.turn, job.planned) for job in jobs))
        return planned

    async def _insert(self, connection: Connection, planned: Planned, holder: int) -> None:
        await coordination.insert_plans(
            connection,
            planned.plans,
            holder=holder,
            worker_no=self._context.worker_no,
            lease_seconds=self._context.lease_seconds,
        )

    async def _insert_each(self, connection: Connection, planned: Planned, holder: int) -> None:
        """Insert one plan at a time, to find those that the database refuses."""
        for planned_job in tuple(planned.plans):
            try:
                async with connection.transaction():
                    await self._insert(connection, Planned(plans=[planned_job]), holder)
            except PlanRefused as refused:
                planned.set_aside(planned_job, f"The plan of the stored spec breaks the rule {refused}.")

    def _plan(self, job: QueuedJob, planned: Planned, serving: Serving, *, source: str, room: int, holder: int) -> None:
        """Add a job's plan to `planned`; a job that can't be planned is set aside with its reason."""
        planned.job_ids[job.job_no] = job.id
        try:
            spec, batches, identity_by_pool = _read(job, serving)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            planned.failures.append((job.job_no, source or "initial", *_reason(error)))
            return
        if spec.policy.queue_timeout_seconds is not None and job.waited_seconds > spec.policy.queue_timeout_seconds:
            planned.failures.append(
                (job.job_no, source or "initial", QUEUE_TIMEOUT, overdue_detail(job.waited_seconds))
            )
            return
        instant = [] if job.has_backlog else [batch for batch in batches if batch.pool in serving.instant]
        claimed = _claimable(instant, room - planned.claimed_cells)
        planned.claimed_cells += sum(batch.cells for batch in claimed)
        planned.specs[job.job_no] = spec
        planned.claimed += [_claim(job, batch, holder, identity_by_pool[batch.pool]) for batch in claimed]
        claimed_nos = frozenset(batch.batch_no for batch in claimed)
        planned.ready += [
            (job.job_no, batch.batch_no) for batch in batches if batch.is_first and batch.batch_no not in claimed_nos
        ]
        planned.plans.append(
            JobPlan(
                job_no=job.job_no,
                source=source or "initial",
                is_recorded=source == "manual" and job.has_open_triggers,
                is_delivered=source == "initial",
                batches=batches,
                claimed=claimed_nos,
                event=_event(spec, batches),
                identity_by_pool=identity_by_pool,
                max_concurrent=spec.policy.max_concurrent,
                queue_timeout_seconds=spec.policy.queue_timeout_seconds,
            )
        )

    async def _record_outcomes(self, connection: Connection, jobs: Sequence[QueuedJob], planned: Planned) -> None:
        triggers = [(job.source, "won") for job in planned.plans if not job.is_recorded]
        triggers += [(source, "failed") for _, source, _, _ in planned.failures]
        if jobs:
            # For all jobs: `has_open_triggers` lacks triggers that committed while the jobs were being locked.
            waiting = [job.job_no for job in jobs]
            won = [planned_job.job_no for planned_job in planned.plans if planned_job.is_recorded]
            outcomes = await coordination.record_trigger_outcomes(
                connection, waiting, won=won, worker_no=self._context.worker_no
            )
            triggers += outcomes
        await counters.add(connection, self._context.worker_no, trigger_increments(triggers))

    def _log(self, planned: Planned) -> None:
        for planned_job in planned.plans:
            spec = planned.specs[planned_job.job_no]
            self._context.log.info(
                "job_coordinated",
                job_id=planned.job_ids[planned_job.job_no],
                source=planned_job.source,
                outcome="won",
                model_count=len(spec.models),
                total_executions=spec.planned,
                waves=1,
                batches=len(planned_job.batches),
                max_concurrent=spec.policy.max_concurrent,
            )
        for job_no, source, code, detail in planned.failures:
            self._context.log.error(
                "job_not_coordinated", job_id=planned.job_ids[job_no], source=source, code=code, detail=detail
            )


def _read(job: QueuedJob, serving: Serving) -> tuple[JobSpec, Sequence[PlannedBatch], Mapping[PoolKey, int]]:
    """Return a job's spec, its batches, and the identity of each of their pools under which it was accepted.

    A spec of another version may raise any error.
    """
    spec = JobSpec.from_json(job.spec)
    if spec.planned != job.planned:
        raise ValueError(spec.planned)
    batches = plan(spec, serving.pool_of)
    accepted = frozenset(job.identity_nos)
    identity_by_pool = {
        pool: number
        for pool in {batch.pool for batch in batches}
        for number in serving.identity_nos_by_pool[pool]
        if number in accepted
    }
    if not all(batch.pool in identity_by_pool for batch in batches):
        raise LookupError(job.identity_nos)
    return spec, batches, identity_by_pool


def _reason(error: Exception) -> tuple[str, str]:
    """Return the (code, detail) that a job fails with."""
    return UNPLANNABLE, f"This version can't plan the stored spec: {type(error).__name__}."


def _claimable(batches: Sequence[PlannedBatch], room: int) -> list[PlannedBatch]:
    """Return the first batches to start at once: as many as have room."""
    chosen = []
    for batch in batches:
        if batch.is_first and room > 0:
            chosen.append(batch)
            room -= batch.cells
    return chosen


def _claim(job: QueuedJob, batch: PlannedBatch, holder: int, identity_no: int) -> ClaimedBatch:
    cells = list(batch.cell_nos())
    return ClaimedBatch(
        job_no=job.job_no,
        batch_no=batch.batch_no,
        wave_no=1,
        next_batch_no=batch.next_batch_no,
        provider=batch.provider,
        region=batch.region,
        region_no=batch.region_no,
        fence=1,
        holder=holder,
        virtual_finish_time=0,
        waited_seconds=job.waited_seconds,
        claimed_at=job.locked_at,
        model_nos=[model_no for model_no, _ in cells],
        question_nos=[question_no for _, question_no in cells],
        attempts=[0] * len(cells),
        forgiven=[0] * len(cells),
        key_nos=[0] * len(cells),
        marked=[False] * len(cells),
        identity_no=identity_no,
    )


def _event(spec: JobSpec, batches: Sequence[PlannedBatch]) -> str:
    facts = {"models": len(spec.models), "executions": spec.planned, "waves": 1, "batches": len(batches)}
    return orjson.dumps(facts).decode()
