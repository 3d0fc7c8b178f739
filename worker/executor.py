"""Running what was claimed: each open cell that is due is asked once, and each outcome goes to the writer.

A batch whose provider makes calls has permits: so many of its cells are asked at once, and it starts none after its
quantum, so that others get their turn however long calls take.
"""

import asyncio
from collections.abc import Iterable, Mapping

from db.batches import ClaimedBatch, PoolKey
from db.results import Settlement
from domain.outcome import QUEUE_TIMEOUT, WORKER_LOST
from domain.spec import JobSpec
from runtime.metrics import QUEUE_WAIT
from worker.context import Context
from worker.runs import BatchRun
from worker.runs_in_hand import RunsInHand
from worker.start_log import StartLog
from worker.writer import Writer

CELLS_AT_ONCE = 1_000
"""Answers that need no waiting are given about so many at once: they share a flush, and nothing else waits long."""
LOST_LEASES_LIMIT = 10


class Executor:
    """Runs the cells of this worker's claimed batches, which it holds `in_hand` until their ends are recorded."""

    def __init__(self, context: Context, writer: Writer, start_log: StartLog) -> None:
        self._context = context
        self._writer = writer
        self._start_log = start_log
        self._starting: asyncio.Queue[BatchRun] = asyncio.Queue()
        self._refused_pools: set[PoolKey] = set()
        self._is_draining = False
        self._group: asyncio.TaskGroup | None = None
        self.in_hand = RunsInHand(context)

    @property
    def held(self) -> list[ClaimedBatch]:
        """The batches in hand, whose leases are this worker's to renew."""
        return [run.batch for run in self.in_hand.runs]

    def starved(self) -> list[tuple[ClaimedBatch, int]]:
        """Return the batches that could make more calls at once than they may, with how many more.

        A job with a limit of its own isn't counted here: its batches get their permits when they are claimed.
        """
        if self._is_draining:
            return []
        return [
            (run.batch, len(run.untried))
            for run in self.in_hand.runs
            if run.is_starved and self._is_open(run) and self._is_current(run)
        ]

    def grow(self, batch: ClaimedBatch, count: int) -> None:
        """Make so many more calls of a batch at once, unless its lease has ended."""
        run = self.in_hand.find(batch)
        if run is not None and self._group is not None and (permits := run.permits.grow(count)):
            run.quantum.renew()
            self._start_calls(self._group, run, permits)
            self.in_hand.update_room()

    def start(self, batches: Iterable[ClaimedBatch], specs: Mapping[int, JobSpec]) -> None:
        """Take these claimed batches in hand; their leases are this worker's to renew from now on."""
        for batch in batches:
            self._starting.put_nowait(self.in_hand.take(batch, specs[batch.job_no]))
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)

    def release(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose end is recorded, or whose lease is lost. Repeating it changes nothing."""
        self.in_hand.drop(batch)

    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, and log it.

        One whose outcomes are all reported goes on: the writer will find the stale fence.
        """
        run = self.in_hand.find(batch)
        if run is not None and run.unreported:
            self._context.log.warning("lease_gone", job_no=batch.job_no, batch_no=batch.batch_no, fence=batch.fence)
            self.release(batch)

    def hear_of_gate(self, pool: PoolKey) -> None:
        """Let the circuit breaker decide about a pool again: its refusal is recorded, or never will be."""
        self._refused_pools.discard(pool)

    def drain(self) -> None:
        """Start no more calls; those in flight go on."""
        self._is_draining = True

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self.in_hand.is_empty.wait()

    async def run(self) -> None:
        """Run batches as they are started, until cancelled."""
        answered = 0
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                run = await self._starting.get()
                if not run.permits.is_closed:  # else its lease was lost before anything began
                    answered += await self._begin(group, run)
                if self._starting.empty() or answered >= CELLS_AT_ONCE:
                    answered = 0
                    await asyncio.sleep(0)

    async def _begin(self, group: asyncio.TaskGroup, run: BatchRun) -> int:
        """Begin a batch; return how many cells were answered on the spot."""
        batch, report = run.batch, Settlement(run.batch)
        run.end_interrupted(report)
        if batch.is_overdue:
            run.give_up(report, QUEUE_TIMEOUT, "No try began within the policy's queue_timeout_seconds.")
        elif batch.lost_leases >= LOST_LEASES_LIMIT:
            detail = f"The workers that ran this cell's batch were lost {batch.lost_leases} times in a row."
            run.give_up(report, WORKER_LOST, detail)
        elif run.makes_calls:
            self._start_calls(group, run, run.permits.held if run.untried else ())
        else:
            await run.answer_all(report)
        if not run.untried:
            run.permits.release(*run.permits.held)
        if report.results or not run.untried:
            self._submit(run, report)
        return 0 if run.makes_calls else report.results

    def _start_calls(self, group: asyncio.TaskGroup, run: BatchRun, permits: Iterable[int]) -> None:
        for permit in permits:
            task = group.create_task(self._make_calls(run, permit))
            run.tasks.add(task)
            task.add_done_callback(run.tasks.discard)

    async def _make_calls(self, run: BatchRun, permit: int) -> None:
        """Ask one cell after another while the batch has any and may start calls; then release the permit."""
        report = Settlement(run.batch)
        while (index := self._next_cell(run)) is not None:
            if report.results:
                self._submit(run, report)
            if not await self._may_start(run, index):
                self.release(run.batch)
                return
            report = await run.ask(index)
            self._follow_refusal(run, report)
        run.permits.release(permit)
        self._submit(run, report)  # with the last outcome, so that one flush records both

    def _next_cell(self, run: BatchRun) -> int | None:
        return None if self._is_draining or not self._is_open(run) else run.next_untried()

    async def _may_start(self, run: BatchRun, index: int) -> bool:
        return not run.logs_starts or await self._start_log.add(run.batch, run.cell(index))

    def _follow_refusal(self, run: BatchRun, report: Settlement) -> None:
        """Start no more calls of a pool that refused one: of no batch in hand, until its circuit breaker decides."""
        if not self._is_current(run):  # what a former address says moves no breaker of the one that is configured now
            report.refusal, report.opens_gate = None, False
        if report.refusal is not None:
            self._refused_pools.add(run.batch.pool)
            for other in self.in_hand.runs:
                if other.batch.pool == run.batch.pool:
                    other.quantum.end()

    def _is_current(self, run: BatchRun) -> bool:
        """Say whether a batch is of an identity that is still configured."""
        return self._context.serving.identity_by_pool.get(run.batch.pool) == run.batch.identity_no

    def _is_open(self, run: BatchRun) -> bool:
        return run.batch.pool not in self._refused_pools

    def _submit(self, run: BatchRun, report: Settlement) -> None:
        run.close(report)
        self.in_hand.update_room()
        self._writer.submit(report)
