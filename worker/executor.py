"""Running what was claimed: each open cell is asked once, and each answer goes to the writer."""

import asyncio
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from db.batches import ClaimedBatch
from db.results import CompletedCell, FailedCell, Settlement
from domain.calls import Cell
from domain.outcome import Completed, Failed, Outcome, backoff_seconds, storable
from domain.spec import JobSpec
from runtime.metrics import QUEUE_WAIT
from worker.context import Context
from worker.providers.protocol import Call, Provider
from worker.writer import Writer

INSTANT_ROOM_CELLS = 4_000
"""Cells of providers that make no calls a worker may hold: enough for several flushes, little enough to share."""
CELLS_PER_TURN = 1_000
"""Answers that need no waiting are given in turns of about so many: they share a flush, and nothing else waits long."""
LOST_LEASES_LIMIT = 10


@dataclass(slots=True)
class BatchRun:
    """A claimed batch under way: `open` cells have no result yet, `untried` ones no outcome.

    `offset` is the database's clock minus ours, in seconds.
    """

    batch: ClaimedBatch
    spec: JobSpec
    offset: float
    open: int
    untried: int
    due_in_seconds: float = 0.0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def clock_us(self) -> int:
        """Return the database's time in microseconds since the epoch."""
        return round((time.monotonic() + self.offset) * 1_000_000)


class Try(NamedTuple):
    """When a cell was asked, by the database's clock, and of whom."""

    started_us: int
    finished_us: int
    provider_used: str


class Executor:
    """Holds this worker's claimed batches and runs their cells.

    `has_room` is set while more may be claimed.
    """

    def __init__(self, context: Context, writer: Writer) -> None:
        self._context = context
        self._writer = writer
        self._slots = asyncio.Semaphore(context.concurrency)
        self._starting: asyncio.Queue[BatchRun] = asyncio.Queue()
        self._makes_calls = any(provider.makes_calls for provider in context.providers.values())
        self._capacity = context.concurrency if self._makes_calls else INSTANT_ROOM_CELLS
        self._cells = 0
        self.held: dict[tuple[int, int, int, int], BatchRun] = {}
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def room(self) -> int:
        """How many more cells may be claimed now."""
        return max(0, self._capacity - self._cells)

    @property
    def running(self) -> int:
        """Cells in hand that haven't been tried to the end."""
        return self._cells

    def start(self, batches: Iterable[ClaimedBatch], specs: Mapping[int, JobSpec]) -> None:
        """Take these claimed batches in hand; their leases are this worker's to renew from now on."""
        now = time.monotonic()
        for batch in batches:
            cells = len(batch.model_nos)
            run = BatchRun(batch, specs[batch.job_no], batch.claimed_at - now, open=cells, untried=cells)
            self.held[batch.key] = run
            self._cells += cells
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)
            self._starting.put_nowait(run)
        self._update_room()

    def release(self, batch: ClaimedBatch) -> None:
        """Let go of a batch whose end is recorded, or whose lease is lost: what still runs of it is stopped."""
        run = self.held.pop(batch.key, None)
        if run is not None:
            for task in run.tasks:
                task.cancel()
            self._cells -= run.untried
            self._update_room()

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()

    async def run(self) -> None:
        """Run batches as they are started, until cancelled."""
        answered = 0
        async with asyncio.TaskGroup() as group:
            while True:
                run = await self._starting.get()
                if run.batch.key not in self.held:  # its lease was lost before anything began
                    continue
                provider = self._context.providers[run.batch.provider]
                if run.batch.lost_leases >= LOST_LEASES_LIMIT:
                    self._give_up(run)
                elif not run.batch.model_nos:
                    self._submit(run, Settlement(run.batch, 0))
                elif provider.makes_calls:
                    self._start_calls(group, run, provider)
                else:
                    await self._answer_all(run, provider)
                    answered += len(run.batch.model_nos)
                if self._starting.empty() or answered >= CELLS_PER_TURN:
                    answered = 0
                    await asyncio.sleep(0)

    def _start_calls(self, group: asyncio.TaskGroup, run: BatchRun, provider: Provider) -> None:
        for index in range(len(run.batch.model_nos)):
            task = group.create_task(self._call(run, index, provider))
            run.tasks.add(task)
            task.add_done_callback(run.tasks.discard)

    async def _call(self, run: BatchRun, index: int, provider: Provider) -> None:
        async with self._slots:
            started_us = run.clock_us()
            outcome = await provider.answer(_call_of(run, index))
        finished_us = run.clock_us()
        settlement = Settlement(run.batch, 0)
        self._add(run, settlement, index, outcome, Try(started_us, finished_us, provider.name))
        self._submit(run, settlement)

    async def _answer_all(self, run: BatchRun, provider: Provider) -> None:
        started_us = run.clock_us()
        outcomes = [await provider.answer(_call_of(run, index)) for index in range(len(run.batch.model_nos))]
        tried = Try(started_us, run.clock_us(), provider.name)
        settlement = Settlement(run.batch, 0)
        for index, outcome in enumerate(outcomes):
            self._add(run, settlement, index, outcome, tried)
        self._submit(run, settlement)

    def _give_up(self, run: BatchRun) -> None:
        now_us = run.clock_us()
        tried = Try(now_us, now_us, run.batch.provider)
        settlement = Settlement(run.batch, 0)
        lost = Failed(
            "worker_lost",
            f"The workers that ran this cell's batch were lost {run.batch.lost_leases} times in a row.",
            retryable=False,
        )
        for index in range(len(run.batch.model_nos)):
            self._add(run, settlement, index, lost, tried)
        self._submit(run, settlement)

    def _submit(self, run: BatchRun, settlement: Settlement) -> None:
        self._update_room()
        settlement.open_cells = run.open
        settlement.is_released = run.untried == 0
        settlement.due_in_seconds = run.due_in_seconds
        self._writer.submit(settlement)

    def _add(self, run: BatchRun, settlement: Settlement, index: int, outcome: Outcome, tried: Try) -> None:
        """Add one cell's outcome to what will be recorded of its batch."""
        batch = run.batch
        run.untried -= 1
        self._cells -= 1
        cell = (batch.job_no, batch.region_no, batch.model_nos[index], batch.question_nos[index])
        match outcome:
            case Completed():
                run.open -= 1
                settlement.completed.append(
                    CompletedCell(*cell, *tried, outcome.region_served, storable(outcome.output))
                )
            case Failed():
                failed = FailedCell(
                    *cell, *tried, outcome.code, storable(outcome.detail), outcome.retryable, batch.attempts[index]
                )
                attempts = batch.attempts[index] + 1
                if outcome.retryable and attempts < run.spec.policy.max_attempts:
                    wait = backoff_seconds(attempts, random.random())  # noqa: S311 - jitter needs no secrecy
                    run.due_in_seconds = max(run.due_in_seconds, wait)
                    settlement.retried.append(failed)
                else:
                    run.open -= 1
                    settlement.failed.append(failed)
            case _:
                assert_never(outcome)

    def _update_room(self) -> None:
        if self.held:
            self._empty.clear()
        else:
            self._empty.set()
        if self._cells < self._capacity:
            self.has_room.set()
        else:
            self.has_room.clear()


def _call_of(run: BatchRun, index: int) -> Call:
    batch = run.batch
    cell = Cell(batch.job_no, batch.region_no, batch.model_nos[index], batch.question_nos[index])
    model = run.spec.models[cell.model_no]
    return Call(
        cell=cell,
        planned_us=batch.planned_us,
        key_no=0,
        model_id=model.id,
        region=batch.region,
        question=run.spec.questions[cell.question_no].text,
        parameters=run.spec.parameters,
        timeout_seconds=run.spec.policy.timeout_seconds,
        attempt=batch.attempts[index] + 1,
    )
