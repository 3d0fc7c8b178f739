"""Running claimed batches: a call for each open cell that is due, and each outcome goes to the writer.

A batch with calls has permits: that many calls may be in flight. It starts no call after its quantum, so that other
batches get permits even if calls take long.
"""

import asyncio
from collections.abc import Iterable, Mapping

from db.batches import ClaimedBatch
from db.results import BatchReport, Recorded
from domain.outcome import QUEUE_TIMEOUT, WORKER_LOST
from domain.spec import JobSpec
from runtime.metrics import QUEUE_WAIT
from worker.context import Context
from worker.inference.pending_refusals import PendingRefusals
from worker.inference.runs import BatchRun
from worker.inference.runs_in_hand import RunsInHand
from worker.inference.start_log import StartLog
from worker.inference.writer import Writer
from worker.runner import LOST_LEASES_LIMIT

CELLS_AT_ONCE = 1_000
"""The approximate group size of cells that are answered without calls: a group shares a flush, and delays other tasks
little."""


class Executor:
    """Runs the cells of this worker's claimed batches, which it holds `in_hand` until their ends are recorded."""

    def __init__(self, context: Context, writer: Writer, start_log: StartLog) -> None:
        self._context = context
        self._writer = writer
        self._start_log = start_log
        self._starting: asyncio.Queue[BatchRun] = asyncio.Queue()
        self._is_draining = False
        self._group: asyncio.TaskGroup | None = None
        self.in_hand = RunsInHand(context)
        self._refusals = PendingRefusals(context, self.in_hand)

    @property
    def held(self) -> list[ClaimedBatch]:
        """The batches in hand, whose leases this worker renews."""
        return [run.batch for run in self.in_hand.runs]

    def starved(self) -> list[tuple[ClaimedBatch, int]]:
        """Return the batches that could make more calls than they have permits, with the number of missing permits.

        Jobs with a limit of their own are left out: their batches get permits only when they are claimed.
        """
        if self._is_draining:
            return []
        return [
            (run.batch, len(run.untried))
            for run in self.in_hand.runs
            if run.is_starved and self._refusals.lets_start(run) and self._refusals.is_current(run)
        ]

    def grow(self, batch: ClaimedBatch, count: int) -> None:
        """Allow `count` more calls of a batch in flight, unless its lease has ended."""
        run = self.in_hand.find(batch)
        if run is not None and self._group is not None and (permits := run.permits.grow(count)):
            run.quantum.renew()
            self._start_calls(self._group, run, permits)
            self.in_hand.update_room()

    def start(self, batches: Iterable[ClaimedBatch], specs: Mapping[int, JobSpec]) -> None:
        """Take these claimed batches in hand; this worker renews their leases from now on."""
        for batch in batches:
            self._starting.put_nowait(self.in_hand.take(batch, specs[batch.job_no]))
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)

    def release(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose end is recorded, or whose lease is lost. Repeating it changes nothing."""
        self.in_hand.drop(batch)

    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, and log it.

        A batch whose outcomes are all reported goes on: the writer will find the stale fence.
        """
        run = self.in_hand.find(batch)
        if run is not None and run.unreported:
            self._context.log.warning("lease_gone", job_no=batch.job_no, batch_no=batch.batch_no, fence=batch.fence)
            self.release(batch)

    def follow(self, recorded: Recorded) -> None:
        """Stop recorded and stale batches.

        Once a refusal is recorded, the pool's circuit breaker decides about new calls.
        """
        for report in (*recorded.written, *recorded.stale):
            if report.refusal is not None:
                self._refusals.forget(report.batch.pool)
        for report in recorded.written:
            if report.status != "running":
                self.release(report.batch)
        for report in recorded.stale:
            self.lose(report.batch)
            self.release(report.batch)

    def set_aside(self, batch: ClaimedBatch) -> None:
        """Leave a batch to its lease if its results, and so its refusal, can't be recorded."""
        self._refusals.forget(batch.pool)
        self.release(batch)

    def drain(self) -> None:
        """Start no more calls; calls in flight go on."""
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
                if not run.permits.is_closed:  # else its lease was lost before it began
                    answered += await self._begin(group, run)
                if self._starting.empty() or answered >= CELLS_AT_ONCE:
                    answered = 0
                    await asyncio.sleep(0)

    async def _begin(self, group: asyncio.TaskGroup, run: BatchRun) -> int:
        """Begin a batch; return how many cells were answered without calls."""
        batch, report = run.batch, BatchReport(run.batch)
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
        """Make one call after another while the batch may start calls for untried cells; then release the permit."""
        report = BatchReport(run.batch)
        while (index := self._next_cell(run)) is not None:
            if report.results:
                self._submit(run, report)
            if not await self._may_start(run, index):
                self.release(run.batch)
                return
            report = await run.ask(index)
            self._refusals.note(run, report)
        run.permits.release(permit)
        self._submit(run, report)  # together with the last outcome, so that one flush records both

    def _next_cell(self, run: BatchRun) -> int | None:
        may_start = not self._is_draining and self._refusals.lets_start(run)
        return run.next_untried() if may_start else None

    async def _may_start(self, run: BatchRun, index: int) -> bool:
        return not run.logs_starts or await self._start_log.add(run.batch, run.cell(index))

    def _submit(self, run: BatchRun, report: BatchReport) -> None:
        run.close(report)
        self.in_hand.update_room()
        self._writer.submit(report)
