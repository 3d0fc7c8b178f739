"""Jobs in any state, made by the same db functions that the service uses."""

import secrets
from dataclasses import dataclass
from typing import Any

import orjson

from db import claiming, results, submissions
from db import coordination as planning
from db.batches import Claimant, ClaimedBatch
from db.coordination import JobPlan
from db.engine import Connection, Engine, in_transaction
from db.ledger import LedgerRow, insert_ledger_rows
from db.results import BatchReport, CompletedCell, EndedCell, Recorded, RetriedCell
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.calls import Cell
from domain.normalize import normalize
from domain.plan import Pool, plan
from domain.spec import JobSpec
from tests.support.configurations import CONFIGURATION_NO, IDENTITY_BY_POOL, IDENTITY_NOS, POOLS, REGISTRY

LEASE_SECONDS = 30.0
WORKER_ID = "w-seeds"
ANSWER_ALL = """
UPDATE executions
SET status = 'completed', attempts = 1, started_at = now(), finished_at = now(), provider_used = 'echo', output = $2
WHERE job_no = $1
"""


@dataclass(frozen=True)
class Seeded:
    """A stored job: its number, its id and its normalized spec."""

    job_no: int
    id: str
    spec: JobSpec


@dataclass
class Seeds:
    """Makes jobs under one worker; plans them in batches of `batch_cells`."""

    engine: Engine
    worker_no: int
    batch_cells: int = 250

    async def submit(self, *, job_id: str | None = None, tenant_no: int = DEFAULT_TENANT_NO, **body: Any) -> Seeded:
        """Store a queued job with one row in its ledger; `body` replaces members of a spec of one cell."""
        name = f"n-{secrets.token_hex(4)}"
        spec = {"name": name, "models": ["m-a"], "regions": ["us-east"], "questions": ["What is 2+2?"], **body}
        normalized = normalize(spec, REGISTRY)
        job = NewJob(
            tenant_no=tenant_no,
            id=job_id or f"j-{secrets.token_hex(8)}",
            kind=normalized.spec.kind,
            name=normalized.spec.name,
            spec_hash=normalized.spec_hash,
            cells=normalized.spec.cells,
            submitted=orjson.dumps(spec).decode(),
            spec=orjson.dumps(normalized.spec.to_json()).decode(),
            normalization=orjson.dumps([note.to_json() for note in normalized.notes]).decode(),
            configuration_no=CONFIGURATION_NO,
            identity_nos=sorted(IDENTITY_NOS[key] for key in normalized.wanted),
        )

        async def store(connection: Connection) -> int:
            job_no = (await submissions.insert_jobs(connection, [job]))[tenant_no, job.id]
            await insert_ledger_rows(connection, [ledger_row(job_no, "created", tenant_no)])
            return job_no

        return Seeded(await in_transaction(self.engine, store), job.id, normalized.spec)

    async def enter(self, job: Seeded, *outcomes: str) -> None:
        """Enter a further submission of a job into the ledger for each outcome."""
        rows = [ledger_row(job.job_no, outcome) for outcome in outcomes]
        await in_transaction(self.engine, lambda connection: insert_ledger_rows(connection, rows))

    async def plan(self) -> None:
        """Plan every queued job; nothing of it is claimed."""

        async def coordinate(connection: Connection) -> None:
            queued = await planning.lock_queued_jobs(
                connection, 500, configuration_no=CONFIGURATION_NO, identity_nos=IDENTITY_NOS.values()
            )
            plans = [self._plan(job.job_no, JobSpec.from_json(job.spec)) for job in queued]
            if not plans:
                return
            await planning.insert_plans(
                connection, plans, holder=1, worker_no=self.worker_no, lease_seconds=LEASE_SECONDS
            )
            planned = [plan.job_no for plan in plans]
            await planning.record_trigger_outcomes(connection, planned, won=[], worker_no=self.worker_no)

        await in_transaction(self.engine, coordinate)

    def _plan(self, job_no: int, spec: JobSpec) -> JobPlan:
        planned = plan(spec, lambda _name: Pool("echo", self.batch_cells))
        return JobPlan(
            job_no=job_no,
            source="initial",
            is_recorded=False,
            is_delivered=True,
            batches=planned,
            claimed=frozenset(),
            event='{"waves": 1}',
            identity_by_pool=IDENTITY_BY_POOL,
        )

    async def claim(self, *, cells: int = 10_000, lease_seconds: float = LEASE_SECONDS) -> list[ClaimedBatch]:
        """Claim up to so many due cells under leases of the seeds' worker; return their batches."""

        async def take(connection: Connection) -> list[ClaimedBatch]:
            claimant = Claimant(secrets.randbits(62), self.worker_no, lease_seconds, CONFIGURATION_NO)
            return (await claiming.claim_cells(connection, POOLS, claimant, cells=cells)).batches

        return await in_transaction(self.engine, take)

    async def record(self, *reports: BatchReport) -> Recorded:
        """Record these reports as one flush."""
        return await in_transaction(
            self.engine, lambda connection: results.record(connection, reports, source=WORKER_ID)
        )

    async def run_all(self) -> None:
        """Plan and complete everything that is queued or due."""
        await self.plan()
        while claimed := await self.claim():
            await self.record(*(completed(batch) for batch in claimed))


def ledger_row(job_no: int, outcome: str, tenant_no: int = DEFAULT_TENANT_NO) -> LedgerRow:
    """Return the ledger's row of a submission with this outcome."""
    return LedgerRow(
        tenant_no=tenant_no,
        job_no=job_no,
        kind="inference",
        outcome=outcome,
        reason="new" if outcome == "created" else "same_spec_active",
        matched_on=None,
        status_code=202 if outcome == "created" else 200,
        idempotency_key=None,
        client="127.0.0.1",
        user_agent="tests",
        request_id=secrets.token_hex(8),
    )


def completed(batch: ClaimedBatch, *, first: int | None = None, output: str = "four") -> BatchReport:
    """Return the report of a batch with its open cells completed, the first `first` of them if given."""
    cells = list(zip(batch.model_nos, batch.question_nos, strict=True))[:first]
    left = len(batch.model_nos) - len(cells)
    answered = [
        CompletedCell(
            *(batch.job_no, batch.region_no, model_no, question_no, *times(batch), "echo", batch.region, output),
            identity_no=batch.identity_no,
        )
        for model_no, question_no in cells
    ]
    return BatchReport(batch, is_released=not left, completed=answered)


def failed(batch: ClaimedBatch, *, provider: str = "echo") -> BatchReport:
    """Return the report of a batch with all of its open cells failed."""
    ended = [
        EndedCell(
            *(*cell, *times(batch), provider, None, "busy", "Busy."),
            error_retryable=False,
            status="failed",
            attempts_before=attempts,
        )
        for cell, attempts in _cells(batch)
    ]
    return BatchReport(batch, is_released=True, ended=ended)


def retried(batch: ClaimedBatch, *, provider: str = "echo", due_in_seconds: float = 0.0) -> BatchReport:
    """Return the report of a batch whose open cells are all tried again in `due_in_seconds`."""
    tries = [
        RetriedCell(
            *(*cell, *times(batch), provider, None, "busy", "Busy.", attempts),
            is_forgiven=False,
            is_answered=True,
            wait_seconds=due_in_seconds,
        )
        for cell, attempts in _cells(batch)
    ]
    return BatchReport(batch, is_released=True, due_in_seconds=due_in_seconds, retried=tries)


async def answer_all(rows: Connection, job: Seeded, output: str) -> None:
    """Write this output to all cells of a job, without a batch or counters."""
    await rows.execute(ANSWER_ALL, job.job_no, output)


def times(batch: ClaimedBatch) -> tuple[int, int]:
    """Jobs in any state, made by the same db functions that the service uses."""
    at = int(batch.claimed_at * 1_000_000)
    return at + 10, at + 20


def _cells(batch: ClaimedBatch) -> list[tuple[Cell, int]]:
    """Jobs in any state, made by the same db functions that the service uses."""
    return [
        (Cell(batch.job_no, batch.region_no, model_no, question_no), attempts)
        for model_no, question_no, attempts in zip(batch.model_nos, batch.question_nos, batch.attempts, strict=True)
    ]
