"""Jobs in any state, made by the same db functions that the service uses; and an app of the routes that read."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from fastapi import FastAPI

from api import errors
from api.acting import AT_ONCE
from api.announcing import Announcer
from api.downloads import Downloads
from api.pausing import Pauses
from api.registration import Registration
from api.routes import (
    audit,
    controls,
    coordination,
    datasets,
    dead_letters,
    executions,
    job_views,
    metrics,
    operations,
    probes,
    providers,
    questions,
    queue,
    records,
    regions,
    rejects,
    stories,
    waves,
)
from broker.envelopes import Client
from configuration.content import Content
from db import batches, results, submissions
from db import coordination as planning
from db.batches import Claimant, ClaimedBatch
from db.coordination import JobPlan
from db.engine import Connection, Engine, in_transaction
from db.results import CompletedCell, EndedCell, Recorded, RetriedCell, Settlement
from db.submissions import LedgerRow, NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.calls import Cell
from domain.identities import wanted_by
from domain.normalize import normalize
from domain.plan import Pool, pairs, plan
from domain.spec import JobSpec
from runtime.databases import Reminder
from runtime.settings import Settings
from tests.configuration import CONFIGURATION_NO, IDENTITY_BY_POOL, IDENTITY_NOS, POOLS, REGISTRY, commit

ROUTERS = [
    module.router
    for module in (
        job_views,
        executions,
        waves,
        coordination,
        stories,
        audit,
        controls,
        datasets,
        dead_letters,
        regions,
        providers,
        questions,
        operations,
        queue,
        records,
        rejects,
        probes,
        metrics,
    )
]
LEASE_SECONDS = 30.0
WORKER_ID = "w-seeds"
ANSWER_ALL = """
UPDATE executions
SET status = 'completed', attempts = 1, started_at = now(), finished_at = now(), provider_used = 'echo', output = $2
WHERE job_no = $1
"""


@dataclass(frozen=True)
class Seeded:
    """A job as it was stored."""

    job_no: int
    id: str
    spec: JobSpec


@dataclass
class Seeds:
    """Makes jobs and moves them on, one transaction a step. `worker_no` is who does it."""

    engine: Engine
    worker_no: int
    batch_cells: int = 250

    async def submit(self, *, job_id: str | None = None, tenant_no: int = DEFAULT_TENANT_NO, **body: Any) -> Seeded:
        """Store a queued job and its row in the ledger of submissions."""
        name = f"n-{secrets.token_hex(4)}"
        spec = {"name": name, "models": ["m-a"], "regions": ["us-east"], "questions": ["What is 2+2?"], **body}
        normalized = normalize(spec, REGISTRY)
        job = NewJob(
            id=job_id or f"j-{secrets.token_hex(8)}",
            kind=normalized.spec.kind,
            name=normalized.spec.name,
            spec_hash=normalized.spec_hash,
            planned=normalized.planned.executions,
            min_success_rate=normalized.spec.policy.min_success_rate,
            model_ids=[model.id for model in normalized.spec.models],
            region_ids=normalized.spec.regions,
            question_ids=[question.id for question in normalized.spec.questions],
            pairs=pairs(normalized.spec),
            submitted=orjson.dumps(spec).decode(),
            spec=orjson.dumps(normalized.spec.to_json()).decode(),
            normalization=orjson.dumps([note.to_json() for note in normalized.notes]).decode(),
            configuration_no=CONFIGURATION_NO,
            identity_nos=sorted(IDENTITY_NOS[key] for key in wanted_by(normalized.spec, REGISTRY)),
        )

        async def store(connection: Connection) -> int:
            job_no = (await submissions.insert_jobs(connection, tenant_no, [job]))[job.id]
            await submissions.insert_ledger_rows(connection, tenant_no, [ledger_row(job_no, "created")])
            return job_no

        return Seeded(await in_transaction(self.engine, store), job.id, normalized.spec)

    async def enter(self, job: Seeded, *outcomes: str) -> None:
        """Enter further submissions of a job into the ledger."""
        rows = [ledger_row(job.job_no, outcome) for outcome in outcomes]
        await in_transaction(
            self.engine, lambda connection: submissions.insert_ledger_rows(connection, DEFAULT_TENANT_NO, rows)
        )

    async def plan(self) -> None:
        """Plan every queued job; nothing is claimed."""

        async def coordinate(connection: Connection) -> None:
            queued = await planning.lock_queued_jobs(
                connection, 500, configuration_no=CONFIGURATION_NO, identity_nos=IDENTITY_NOS.values()
            )
            plans = [self._plan(one.job_no, JobSpec.from_json(one.spec)) for one in queued]
            if not plans:
                return
            await planning.insert_plans(
                connection, plans, holder=1, worker_no=self.worker_no, lease_seconds=LEASE_SECONDS
            )
            planned = [one.job_no for one in plans]
            await planning.settle_open_triggers(connection, planned, won=[], worker_no=self.worker_no)

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
        """Claim what is due."""

        async def take(connection: Connection) -> list[ClaimedBatch]:
            claimant = Claimant(secrets.randbits(62), self.worker_no, lease_seconds, CONFIGURATION_NO)
            return (await batches.claim_cells(connection, POOLS, claimant, cells=cells)).batches

        return await in_transaction(self.engine, take)

    async def record(self, *settlements: Settlement) -> Recorded:
        """Write the results of a flush."""
        return await in_transaction(
            self.engine, lambda connection: results.record(connection, settlements, source=WORKER_ID)
        )

    async def run_all(self) -> None:
        """Plan, claim and complete everything that waits."""
        await self.plan()
        while claimed := await self.claim():
            await self.record(*(completed(batch) for batch in claimed))


def ledger_row(job_no: int, outcome: str) -> LedgerRow:
    """A submission of a job."""
    return LedgerRow(
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


def completed(batch: ClaimedBatch, *, first: int | None = None, output: str = "four") -> Settlement:
    """Answers to a batch's first cells, or to all of them, which ends it."""
    cells = list(zip(batch.model_nos, batch.question_nos, strict=True))[:first]
    left = len(batch.model_nos) - len(cells)
    answered = [
        CompletedCell(
            *(batch.job_no, batch.region_no, model_no, question_no, *times(batch), "echo", batch.region, output),
            identity_no=batch.identity_no,
        )
        for model_no, question_no in cells
    ]
    return Settlement(batch, is_released=not left, completed=answered)


def failed(batch: ClaimedBatch, *, provider: str = "echo") -> Settlement:
    """The last failure of every cell of a batch."""
    ended = [
        EndedCell(
            *(*cell, *times(batch), provider, None, "busy", "Busy."),
            error_retryable=False,
            status="failed",
            attempts_before=attempts,
        )
        for cell, attempts in _cells(batch)
    ]
    return Settlement(batch, is_released=True, ended=ended)


def retried(batch: ClaimedBatch, *, provider: str = "echo", due_in_seconds: float = 0.0) -> Settlement:
    """A failure of every cell of a batch that will be repeated."""
    tries = [
        RetriedCell(
            *(*cell, *times(batch), provider, None, "busy", "Busy.", attempts),
            is_forgiven=False,
            is_answered=True,
            wait_seconds=due_in_seconds,
        )
        for cell, attempts in _cells(batch)
    ]
    return Settlement(batch, is_released=True, due_in_seconds=due_in_seconds, retried=tries)


async def answer_all(rows: Connection, job: Seeded, output: str) -> None:
    """Give every cell of a job the same answer, without counting it anywhere: for much of it."""
    await rows.execute(ANSWER_ALL, job.job_no, output)


def times(batch: ClaimedBatch) -> tuple[int, int]:
    """When a try started and ended, in microseconds by the database's clock."""
    at = int(batch.claimed_at * 1_000_000)
    return at + 10, at + 20


def _cells(batch: ClaimedBatch) -> list[tuple[Cell, int]]:
    """Return a batch's cells, and how many tries each had."""
    return [
        (Cell(batch.job_no, batch.region_no, model_no, question_no), attempts)
        for model_no, question_no, attempts in zip(batch.model_nos, batch.question_nos, batch.attempts, strict=True)
    ]


@asynccontextmanager
async def reading_app(
    engine: Engine,
    redis: Client,
    worker_no: int,
    *,
    content: Content | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the routes that read, and those that pause, in this process; `content` is applied first."""

    async def own_number() -> int:
        return worker_no

    app = FastAPI(title="test", version="9.9.9", docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    metrics.install(app)
    errors.install(app)
    app.state.engine = engine
    app.state.downloads = Downloads(engine)
    app.state.redis = redis
    app.state.worker_no = own_number
    app.state.registration = Registration(engine, 5, Reminder(""))
    app.state.registration.unwritten = None
    app.state.settings = settings or Settings()
    app.state.in_force = None
    app.state.acting_room = asyncio.Semaphore(AT_ONCE)
    app.state.announcer = Announcer(redis)
    if content is not None:
        await commit(engine, content)
    app.state.pauses = Pauses(
        engine, redis, app.state.settings, refresh_seconds=5, on_read=lambda now: setattr(app.state, "in_force", now)
    )
    await app.state.pauses.start()  # which is patient where the database is away
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


async def every_item(client: httpx2.AsyncClient, path: str, *, limit: int) -> list[Any]:
    """Follow a list's `Link`s to its end; each page but the last is full."""
    items: list[Any] = []
    url = str(httpx2.URL(path).copy_merge_params({"limit": limit}))
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        page: Sequence[Any] = answer.json()["items"]
        items += page
        assert bool(answer.json()["next_cursor"]) == ("next" in answer.links)
        if "next" not in answer.links:
            break
        assert len(page) == limit
        url = answer.links["next"]["url"]
    return items
