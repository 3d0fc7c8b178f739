"""Running what was claimed: each open cell that is due is asked once, and each answer goes to the writer.

A batch whose provider makes calls has slots: so many of its cells are asked at once, and it starts none after its
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
from worker.marker import Marker
from worker.providers.protocol import Call
from worker.runs import BatchRun, Try
from worker.writer import Writer

INSTANT_ROOM_CELLS = 4_000
"""Cells of providers that make no calls a worker may hold: enough for several flushes, little enough to share."""
CELLS_PER_TURN = 1_000
"""Answers that need no waiting are given in turns of about so many: they share a flush, and nothing else waits long."""
LOST_LEASES_LIMIT = 10


class Executor:
    """Holds this worker's claimed batches and runs their cells.

    `has_room` is set while more may be claimed.
    """

    def __init__(self, context: Context, writer: Writer, marker: Marker) -> None:
        self._context = context
        self._writer = writer
        self._marker = marker
        self._starting: asyncio.Queue[BatchRun] = asyncio.Queue()
        self._cells = 0
        self._calls = 0
        self._refused_pools: set[PoolKey] = set()
        self._is_draining = False
        self._group: asyncio.TaskGroup | None = None
        self.held: dict[tuple[int, int, int, int], BatchRun] = {}
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def room_for_cells(self) -> int:
        """How many more cells may be claimed whose provider makes no calls; 0 if this worker serves none."""
        return max(0, INSTANT_ROOM_CELLS - self._cells) if self._context.serving.instant else 0

    @property
    def room_for_calls(self) -> int:
        """How many more calls may be in flight here; 0 if no provider makes any."""
        return max(0, self._context.concurrency - self._calls) if self._context.serving.called else 0

    @property
    def running(self) -> int:
        """Cells in hand that no slot is needed for, and calls that may be in flight."""
        return self._cells + self._calls

    def starved(self) -> list[tuple[ClaimedBatch, int]]:
        """Return the batches that could make more calls at once than they may, with how many more.

        A job with a limit of its own isn't counted here: its batches get their slots when they are claimed.
        """
        if self._is_draining:
            return []
        return [
            (run.batch, len(run.untried))
            for run in self.held.values()
            if run.tasks
            and run.untried
            and not run.is_let_go
            and run.spec.policy.max_concurrent is None
            and self._is_open(run)
            and self._is_current(run)
        ]

    def grow(self, batch: ClaimedBatch, slots: int) -> None:
        """Make so many more calls of a held batch at once; one that is let go has no slots any more."""
        run = self.held.get(batch.key)
        if run is not None and not run.is_let_go and self._group is not None:
            run.grow(slots)
            self._calls += slots
            self._start_calls(self._group, run, slots)
            self._update_room()

    def start(self, batches: Iterable[ClaimedBatch], specs: Mapping[int, JobSpec]) -> None:
        """Take these claimed batches in hand; their leases are this worker's to renew from now on."""
        for batch in batches:
            run = BatchRun(batch, specs[batch.job_no], self._context.provider_of(batch.identity_no))
            self.held[batch.key] = run
            self._calls += run.slots
            self._cells += 0 if run.counts_calls else run.untold
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)
            self._starting.put_nowait(run)
        self._update_room()

    def hear_of_gate(self, pool: PoolKey) -> None:
        """Hear that a refusal by this pool is recorded, or never will be: from now on its gate decides."""
        self._refused_pools.discard(pool)

    def release(self, batch: ClaimedBatch) -> None:
        """Let go of a batch whose end is recorded, or whose lease is lost: what still runs of it is stopped."""
        run = self.held.pop(batch.key, None)
        if run is not None:
            for task in run.tasks:
                task.cancel()
            self._calls -= run.slots
            self._cells -= 0 if run.counts_calls else run.untold
            self._update_room()

    def lose(self, batch: ClaimedBatch) -> None:
        """Let go of a batch whose lease is gone, and say so; one whose results the writer has all is left to that."""
        run = self.held.get(batch.key)
        if run is not None and run.untold:
            self._context.log.warning("lease_gone", job_no=batch.job_no, batch_no=batch.batch_no, fence=batch.fence)
            self.release(batch)

    def drain(self) -> None:
        """Start no more calls; what is in flight goes on."""
        self._is_draining = True

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()

    async def run(self) -> None:
        """Run batches as they are started, until cancelled."""
        answered = 0
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                run = await self._starting.get()
                if run.batch.key in self.held:  # else its lease was lost before anything began
                    answered += await self._begin(group, run)
                if self._starting.empty() or answered >= CELLS_PER_TURN:
                    answered = 0
                    await asyncio.sleep(0)

    async def _begin(self, group: asyncio.TaskGroup, run: BatchRun) -> int:
        """Begin a batch; return how many cells were answered on the spot."""
        batch, before = run.batch, run.untold
        settlement = Settlement(batch)
        for index in run.interrupted:
            run.add_interrupted(settlement, index, batch.provider)
        if batch.is_overdue:
            self._give_up(run, settlement, QUEUE_TIMEOUT, "No try began within the policy's queue_timeout_seconds.")
        elif batch.lost_leases >= LOST_LEASES_LIMIT:
            detail = f"The workers that ran this cell's batch were lost {batch.lost_leases} times in a row."
            self._give_up(run, settlement, WORKER_LOST, detail)
        elif not run.untried:
            self._give_back(run, run.slots)
        elif run.counts_calls:
            self._start_calls(group, run, run.slots)
        else:
            await self._answer_all(run, settlement)
        told = 0 if run.counts_calls else before - run.untold
        self._cells -= told
        if settlement.results or not run.untried:
            self._submit(run, settlement)
        return told

    def _start_calls(self, group: asyncio.TaskGroup, run: BatchRun, slots: int) -> None:
        for _ in range(slots):
            task = group.create_task(self._work(run))
            run.tasks.add(task)
            task.add_done_callback(run.tasks.discard)

    async def _work(self, run: BatchRun) -> None:
        """Fill one slot: ask one cell after another while the batch has any and its turn lasts."""
        index = self._next(run)
        if index is None:
            self._submit(run, Settlement(run.batch))
        while index is not None:
            if run.must_mark and not await self._marker.mark(run.batch, run.cell(index)):
                self.release(run.batch)
                return
            started_us = run.asked[index] = run.clock_us()
            outcome = await run.answering.answer(_call_of(run, index))
            del run.asked[index]
            tried = Try(started_us, run.clock_us(), run.answering.name)
            settlement = Settlement(run.batch)
            run.add(settlement, index, outcome, tried)
            if not self._is_current(run):  # what a former address says moves no gate of the one that is configured now
                settlement.refusal, settlement.opens_gate = None, False
            if settlement.refusal is not None:
                self._close(run.batch.pool)
            index = self._next(run)
            self._submit(run, settlement)

    def _next(self, run: BatchRun) -> int | None:
        """Return the cell that a slot asks next; without one, the slot is given back."""
        index = run.next_untried() if self._is_open(run) and not self._is_draining else None
        if index is None:
            self._give_back(run, 1)
        return index

    def _close(self, pool: PoolKey) -> None:
        """Start no more calls of a pool that refused one: of none in hand, and of none until its gate is closed."""
        self._refused_pools.add(pool)
        for run in self.held.values():
            if run.batch.pool == pool:
                run.start_no_more()

    def _is_current(self, run: BatchRun) -> bool:
        """Say whether a batch is of an identity that is still configured."""
        return self._context.serving.identity_by_pool.get(run.batch.pool) == run.batch.identity_no

    def _is_open(self, run: BatchRun) -> bool:
        return run.batch.pool not in self._refused_pools

    def _give_back(self, run: BatchRun, slots: int) -> None:
        run.slots -= slots
        self._calls -= slots

    async def _answer_all(self, run: BatchRun, settlement: Settlement) -> None:
        """Answer every cell on the spot; all of them count as asked at the same time."""
        started_us = run.clock_us()
        outcomes = []
        while (index := run.next_untried()) is not None:
            outcomes.append((index, await run.answering.answer(_call_of(run, index))))
        tried = Try(started_us, run.clock_us(), run.answering.name)
        for index, outcome in outcomes:
            run.add(settlement, index, outcome, tried)

    def _give_up(self, run: BatchRun, settlement: Settlement, code: str, detail: str) -> None:
        """End what is open of a batch without asking."""
        given_up = list(run.untried)
        run.untried.clear()
        for index in given_up:
            run.add_given_up(settlement, index, code, detail)
        self._give_back(run, run.slots)

    def _submit(self, run: BatchRun, settlement: Settlement) -> None:
        run.tell(settlement)
        self._update_room()
        self._writer.submit(settlement)

    def _update_room(self) -> None:
        if self.held:
            self._empty.clear()
        else:
            self._empty.set()
        if self.room_for_cells or self.room_for_calls:
            self.has_room.set()
        else:
            self.has_room.clear()


def _call_of(run: BatchRun, index: int) -> Call:
    batch = run.batch
    cell = run.cell(index)
    model = run.spec.models[cell.model_no]
    return Call(
        cell=cell,
        planned_us=batch.planned_us,
        key_no=batch.key_nos[index],
        model_id=model.id,
        region=batch.region,
        question=run.spec.questions[cell.question_no].text,
        parameters=run.spec.parameters,
        timeout_seconds=run.spec.policy.timeout_seconds,
        attempt=batch.attempts[index] + 1,
    )
