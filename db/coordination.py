"""Coordination: queued jobs become waves, batches and planned cells, exactly once; every trigger is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
from asyncpg import IntegrityConstraintViolationError

from db.configurations import ConfigurationChanged, current_no
from db.engine import Connection, statement
from db.turns import Turn
from domain.plan import PlannedBatch
from domain.spec import INFERENCE

ANY_CELLS = 2**62
OVERDUE_AT_ONCE = 500
UNRELEASED, READY, CLAIMED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A queued job that this transaction has locked, accepted under `identity_nos`.

    It `has_backlog` if other work is due, or paused: then its batches are claimed in order, not with the plan.
    `locked_at` is the time of the transaction's start, or of the job's queueing if that is later, by the database's
    clock; seconds since the epoch. `waiting` is the number of waiting jobs. It is planned in its tenant's `turn`.
    """

    job_no: int
    id: str
    planned: int
    identity_nos: Sequence[int]
    spec: Mapping[str, Any]
    waited_seconds: float
    locked_at: float
    has_open_triggers: bool
    has_backlog: bool
    waiting: int
    turn: Turn | None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The plan of a locked job, its trigger, and the batches that this worker claims with it.

    A trigger that `is_recorded` has its row already, as a manual trigger of the API has. `event` is the event's data as
    JSON. `max_concurrent` and `queue_timeout_seconds` are the policy's, or None. `identity_by_pool` holds the
    identities that run its batches.
    """

    job_no: int
    source: str
    is_recorded: bool
    is_delivered: bool
    batches: Sequence[PlannedBatch]
    claimed: frozenset[int]
    event: str
    identity_by_pool: Mapping[tuple[str, str], int]
    max_concurrent: int | None = None
    queue_timeout_seconds: float | None = None


class OverdueJob(NamedTuple):
    """A queued job that this transaction has locked, and that has waited past its queue timeout."""

    job_no: int
    id: str
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state of an envelope's job: whether it still waits to be planned, and whether this is its first delivery."""

    is_waiting: bool
    is_first: bool


class PlanRefused(Exception):
    """The database rejected a plan among several; its argument is the rule's name."""


async def lock_queued_jobs(
    connection: Connection,
    limit: int,
    cells: int = ANY_CELLS,
    *,
    configuration_no: int,
    identity_nos: Iterable[int],
    kind: str = INFERENCE,
) -> list[QueuedJob]:
    """Lock up to `limit` queued jobs of a kind in turn; return the first of them that together plan up to `cells`.

    At least one job is returned, of any size. Jobs that another worker is planning are passed over, and jobs
    accepted under identities other than `identity_nos`, those of configuration `configuration_no`. Raises
    ConfigurationChanged if another configuration is in force.
    """
    rows = await connection.fetch(
        statement("lock_queued_jobs"), limit, cells, configuration_no, list(identity_nos), kind
    )
    if not rows and await current_no(connection) != configuration_no:
        raise ConfigurationChanged
    return [_queued_job(row, kind) for row in rows]


def _queued_job(row: asyncpg.Record, kind: str) -> QueuedJob:
    members = dict(row)
    turn, is_shared = Turn(kind, members.pop("tenant_no"), members.pop("starts_at")), members.pop("is_shared")
    return QueuedJob(**members, turn=turn if is_shared else None)


async def lock_overdue_jobs(connection: Connection) -> list[OverdueJob]:
    """Lock a page of the queued jobs that have waited past their queue timeout.

    Jobs that a worker is planning are passed over, and jobs that a release with an older schema stored.
    """
    rows = await connection.fetch(statement("lock_overdue_jobs"), OVERDUE_AT_ONCE)
    return [OverdueJob(*row) for row in rows]


async def insert_plans(
    connection: Connection, plans: Sequence[JobPlan], *, holder: int, worker_no: int, lease_seconds: float
) -> None:
    """Write these plans and start their jobs. The jobs must be locked by this transaction.

    Raises PlanRefused, and the transaction must be undone, if a plan contradicts its accepted spec.
    """
    batch_rows = [_batch_row(plan, batch) for plan in plans for batch in plan.batches]
    identity_nos = [plan.identity_by_pool[batch.pool] for plan in plans for batch in plan.batches]
    run_rows = [
        (plan.job_no, batch.batch_no, batch.region_no, run.model_no, run.first_question_no, run.last_question_no)
        for plan in plans
        for batch in plan.batches
        for run in batch.runs
    ]
    job_rows = [(p.job_no, p.source, p.is_recorded, p.is_delivered, len(p.batches), p.event) for p in plans]
    try:
        await connection.execute(
            statement("insert_plans"),
            *zip(*job_rows, strict=True),
            *zip(*batch_rows, strict=True),
            holder,
            worker_no,
            lease_seconds,
            *zip(*run_rows, strict=True),
            [p.queue_timeout_seconds for p in plans],
            [p.max_concurrent for p in plans],
            identity_nos,
        )
    except IntegrityConstraintViolationError as error:
        raise PlanRefused(error.constraint_name) from error


def _batch_row(plan: JobPlan, batch: PlannedBatch) -> tuple[object, ...]:
    first, last = batch.runs[0], batch.runs[-1]
    state = CLAIMED if batch.batch_no in plan.claimed else READY if batch.is_first else UNRELEASED
    return (
        plan.job_no,
        batch.batch_no,
        batch.next_batch_no,
        batch.provider,
        batch.region,
        batch.region_no,
        first.model_no,
        first.first_question_no,
        last.model_no,
        last.last_question_no,
        batch.cells,
        state,
    )


async def fail_queued_jobs(
    connection: Connection, failures: Sequence[tuple[int, str, str, str]], worker_no: int
) -> None:
    """End locked queued jobs that can't be planned: (job_no, source, code, detail) each."""
    await connection.execute(statement("fail_queued_jobs"), *zip(*failures, strict=True), worker_no)


async def record_trigger_outcomes(
    connection: Connection, job_nos: Sequence[int], *, won: Sequence[int], worker_no: int
) -> list[tuple[str, str]]:
    """Record the outcome of the waiting triggers of these jobs; return (source, outcome) of each.

    For jobs in `won` the oldest of them triggered this coordination; all others joined.
    """
    rows = await connection.fetch(statement("record_trigger_outcomes"), job_nos, won, worker_no)
    return [(row["source"], row["outcome"]) for row in rows]


async def record_deliveries(
    connection: Connection, job_nos: Iterable[int], submitted: Iterable[int]
) -> Mapping[int, Delivery]:
    """Return the state of each of these jobs, and mark the `submitted` jobs as delivered where they no longer wait.

    Unknown jobs are absent from the result.
    """
    rows = await connection.fetch(statement("record_deliveries"), sorted(job_nos), sorted(submitted))
    return {row["job_no"]: Delivery(row["is_waiting"], row["is_first"]) for row in rows}


async def insert_joined_triggers(connection: Connection, triggers: Sequence[tuple[int, str]], worker_no: int) -> None:
    """Record triggers (job_no, source) that found the waves already there."""
    await connection.execute(statement("insert_triggers"), *zip(*triggers, strict=True), worker_no)
