"""A third kind of job in one file: SHA-256 of files below the import root, one cell each.

A file that is a named pipe is read as soon as somebody writes to it, so that a test decides when a cell ends.
"""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.app import KINDS as API_KINDS
from api.app import create_app
from api.kinds import JobKind, Kinds
from api.schemas.jobs import Job
from cli.service import settings_of
from db import cell_retrying, claiming, coordination, results
from db.batches import Claim, Claimant, ClaimedBatch, Pools
from db.coordination import JobPlan
from db.engine import Connection, Engine, in_transaction
from db.jobs import JobRead
from db.kinds import StoredKind, Unit
from db.results import BatchReport, CompletedCell, EndedCell
from db.specs import load_specs
from domain.errors import FieldError, SpecRejected
from domain.fingerprint import canonical_json
from domain.identities import IMPORT_ROOT
from domain.kinds import Normalized, SpecKind
from domain.plan import PlannedBatch, Run
from domain.registry import Registry
from domain.spec import CellPlan, OnDuplicate
from worker.__main__ import KINDS as WORKER_KINDS
from worker.__main__ import main as run_worker
from worker.context import Context
from worker.left_work import publish_notice
from worker.runner import Claiming, PlannedJobs, Runner, Task, Wakes, WorkerKind

NAME = "digest"
POOL = (NAME, "")
ROOM_BATCHES = 4
LEFT_NOTICE = "digests"

# What a job of it is


@dataclass(frozen=True)
class DigestSpec:
    id: str | None
    name: str
    files: tuple[str, ...]
    kind: str = NAME
    on_duplicate: OnDuplicate = OnDuplicate.JOIN

    @property
    def cells(self) -> CellPlan:
        return CellPlan(["sha256"], ["local"], self.files, [(0, 0)], min_success_rate=1.0)

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "kind": self.kind, "name": self.name, "files": list(self.files)}


@dataclass(frozen=True)
class Planned:
    files: int

    def to_json(self) -> dict[str, int]:
        return {"models": 1, "regions": 1, "questions": self.files, "executions": self.files}

    def to_log(self) -> dict[str, int]:
        return {"files": self.files}


def normalize(body: Mapping[str, Any], _: Registry) -> Normalized[DigestSpec]:
    files = body.get("files")
    if not isinstance(files, list) or not files:
        raise SpecRejected([FieldError("/files", "files_missing", "Name at least one file.")])
    spec = DigestSpec(body.get("id"), body.get("name", NAME), tuple(files))
    digest = hashlib.sha256(canonical_json({"kind": NAME, "files": files}).encode()).hexdigest()
    return Normalized(spec, (), f"h1:{digest}", Planned(len(files)), wanted=(IMPORT_ROOT,))


# What a worker does with it


class DigestRunner(Runner):
    def __init__(self, context: Context, wakes: Wakes) -> None:
        super().__init__(context)
        self._wakes = wakes
        self._starting: asyncio.Queue[ClaimedBatch] = asyncio.Queue()
        self._batch_by_key: dict[tuple[int, ...], ClaimedBatch] = {}
        self._task_by_key: dict[tuple[int, ...], asyncio.Task[None]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def ending(self) -> Mapping[str, Task]:
        return {"digests": self._run}

    @property
    def pools(self) -> Pools:
        number = self._context.serving.configuration.identity_nos.get(IMPORT_ROOT)
        return {} if number is None else {POOL: [number]}

    @property
    def held(self) -> Sequence[ClaimedBatch]:
        return list(self._batch_by_key.values())

    @property
    def has_room(self) -> bool:
        return len(self._batch_by_key) < ROOM_BATCHES

    def claims(self) -> Sequence[Claiming]:
        return [self._claim] if self.has_room else []

    async def plan(self, sources: Mapping[int, str]) -> PlannedJobs:
        """One batch for each job."""
        configuration = self._context.serving.configuration

        async def unit(connection: Connection) -> frozenset[int]:
            jobs = await coordination.lock_queued_jobs(
                connection,
                100,
                configuration_no=configuration.number,
                identity_nos=configuration.identity_nos.values(),
                kind=NAME,
            )
            if jobs:
                plans = [self._plan(job.job_no, job.planned, sources.get(job.job_no, "initial")) for job in jobs]
                await coordination.insert_plans(
                    connection, plans, holder=0, worker_no=self._context.worker_no, lease_seconds=0
                )
            return frozenset(job.job_no for job in jobs)

        job_nos = await in_transaction(self._context.engine, unit)
        self._wakes.own_kind()
        return PlannedJobs(job_nos)

    def _plan(self, job_no: int, cells: int, source: str) -> JobPlan:
        batch = PlannedBatch(
            batch_no=1,
            next_batch_no=None,
            is_first=True,
            provider=NAME,
            region="",
            region_no=0,
            cells=cells,
            runs=(Run(0, 0, cells - 1),),
        )
        return JobPlan(
            job_no=job_no,
            source=source,
            is_recorded=False,
            is_delivered=source == "initial",
            batches=[batch],
            claimed=frozenset(),
            event="{}",
            identity_by_pool={pool: number for pool, (number,) in self.pools.items()},
        )

    async def _claim(self, connection: Connection, claimant: Claimant) -> Claim:
        return await claiming.claim_cells(
            connection, self.pools, claimant, cells=ROOM_BATCHES - len(self._batch_by_key)
        )

    async def announce_left(self, _job_no: int, _batch_no: int) -> None:
        await publish_notice(self._context, LEFT_NOTICE)

    async def take(self, claim: Claim) -> None:
        for batch in claim.batches:
            self._batch_by_key[batch.key] = batch
            self._empty.clear()
            self._starting.put_nowait(batch)

    def release(self, batch: ClaimedBatch) -> None:
        self._batch_by_key.pop(batch.key, None)
        if (task := self._task_by_key.pop(batch.key, None)) is not None:
            task.cancel()
        if not self._batch_by_key:
            self._empty.set()

    def lose(self, batch: ClaimedBatch) -> None:
        self._context.log.warning("digest_stopped", job_no=batch.job_no)
        self.release(batch)

    def drain(self) -> None:
        for batch in self.held:
            self.release(batch)

    async def emptied(self) -> None:
        await self._empty.wait()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                batch = await self._starting.get()
                if batch.key in self._batch_by_key:
                    self._task_by_key[batch.key] = group.create_task(self._digest(batch))

    async def _digest(self, batch: ClaimedBatch) -> None:
        spec = (await self._load_specs([batch.job_no]))[batch.job_no]
        root = self._context.serving.configuration.content.file.imports.root
        report = BatchReport(batch, is_released=True)
        for question_no, attempts in zip(batch.question_nos, batch.attempts, strict=True):
            await self._digest_file(report, question_no, root / spec["files"][question_no], attempts)
        await in_transaction(
            self._context.engine, lambda c: results.record(c, [report], source=self._context.worker_id)
        )
        del self._task_by_key[batch.key]
        self.release(batch)
        self._wakes.own_kind()

    async def _load_specs(self, job_nos: Sequence[int]) -> Mapping[int, Mapping[str, Any]]:
        return await in_transaction(self._context.engine, lambda c: load_specs(c, job_nos))

    async def _digest_file(self, report: BatchReport, question_no: int, path: Path, attempts: int) -> None:
        batch, began = report.batch, time.time()
        cell = (batch.job_no, 0, 0, question_no)
        try:
            output = hashlib.sha256(await read(path)).hexdigest()
        except FileNotFoundError:
            failure = (*times(batch, began), NAME, "local", "file_missing", "There is no such file.")
            ended = EndedCell(*cell, *failure, False, "failed", attempts, identity_no=batch.identity_no)  # noqa: FBT003
            report.ended.append(ended)
        else:
            completed = CompletedCell(*cell, *times(batch, began), NAME, "local", output, identity_no=batch.identity_no)
            report.completed.append(completed)


def times(batch: ClaimedBatch, began: float) -> tuple[int, int]:
    """Start and end of a cell in microseconds, no earlier than the claim by the database's clock."""
    started = max(began, batch.claimed_at)
    return round(started * 1_000_000), round(max(time.time(), started) * 1_000_000)


async def read(path: Path) -> bytes:
    if not stat.S_ISFIFO((await asyncio.to_thread(path.stat)).st_mode):
        return await asyncio.to_thread(path.read_bytes)
    pipe = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        return await reader.read()
    finally:
        transport.close()


# Where it is served


async def show(_: Engine, job: JobRead, __: Registry) -> Job:
    return Job.of(job, parts=())


STORED = StoredKind(NAME, Unit.CELL, cell_retrying.retry, cell_retrying.preview_retry)
API_KIND = JobKind(
    spec=SpecKind(NAME, normalize),
    stored=STORED,
    body_schema={"type": "object", "properties": {"kind": {"const": NAME}, "files": {"type": "array"}}},
    body_examples={NAME: {"summary": "Two files", "value": {"kind": NAME, "files": ["a.csv", "b.csv"]}}},
    show=show,
)
WORKER_KIND = WorkerKind(STORED, DigestRunner, left_notice=LEFT_NOTICE)


def serve(role: str) -> None:
    """Run an API or a worker that serves this kind beside those of the release."""
    settings = settings_of(role)
    if role == "worker":
        run_worker(settings, (*WORKER_KINDS, WORKER_KIND))
        return
    import uvicorn  # noqa: PLC0415 - a worker needs none

    app = create_app(Kinds((*API_KINDS.served, API_KIND)))
    uvicorn.run(
        app, host=settings.host, port=settings.port, loop="uvloop", http="api.connections:Connection", log_config=None
    )
