"""The runner of inference: jobs are planned in one transaction, and providers are called for their cells."""

from collections.abc import Mapping, Sequence
from functools import partial

from db import claiming
from db.batches import Claim, Claimant, ClaimedBatch, Pools
from db.built_in_kinds import INFERENCE
from db.engine import Connection
from db.results import Recorded
from domain.spec import JobSpec
from worker.context import Context
from worker.inference.call_starts import show_call_starts
from worker.inference.coordinator import Coordinator
from worker.inference.executor import Executor
from worker.inference.start_log import StartLog
from worker.inference.writer import Writer
from worker.runner import Claiming, PlannedJobs, Runner, Task, Wakes, WorkerKind
from worker.spec_cache import SpecCache

OVERDUE_AT_ONCE = 64
KEPT_CELLS = 500_000
"""The capacity of the spec cache, in planned cells."""


class InferenceRunner(Runner):
    """Plans inference jobs and runs their cells; the executor holds its batches."""

    is_eager = True

    def __init__(self, context: Context, wakes: Wakes) -> None:
        super().__init__(context)
        self._wakes = wakes
        self._specs = SpecCache(context.engine, JobSpec.from_json, capacity=KEPT_CELLS, weigh=lambda spec: spec.planned)
        self._coordinator = Coordinator(context)
        self._writer = Writer(context, self._on_recorded, self._on_refused)
        self._start_log = StartLog(context)
        self._executor = Executor(context, self._writer, self._start_log)

    @property
    def ending(self) -> Mapping[str, Task]:
        """The executor, and the services that record its results."""
        return {
            "executor": self._executor.run,
            "writer": self._writer.run,
            "start log": self._start_log.run,
            "call starts": partial(show_call_starts, self._context, self._executor),
        }

    async def room_to_plan(self) -> None:
        """Wait until there is room for cells."""
        await self._executor.in_hand.has_room.wait()

    async def plan(self, sources: Mapping[int, str]) -> PlannedJobs:
        """Plan queued jobs in the order of virtual time, and start the batches claimed with them."""
        planned = await self._coordinator.coordinate(sources, self._executor.in_hand.room_for_cells)
        for job_no, spec in planned.specs.items():
            self._specs.keep(job_no, spec)
        self._executor.start(planned.claimed, planned.specs)
        if planned.ready:
            self._wakes.all_kinds()
        return PlannedJobs(frozenset(planned.job_nos), planned.has_more)

    def look(self) -> None:
        """Look for room anew: another configuration may serve what there is room for."""
        self._executor.in_hand.update_room()

    @property
    def pools(self) -> Pools:
        """The providers' pools."""
        return {**self._context.serving.called, **self._context.serving.instant}

    @property
    def has_room(self) -> bool:
        """Whether more cells may be claimed."""
        return self._executor.in_hand.has_room.is_set()

    @property
    def is_starved(self) -> bool:
        """Whether a batch has fewer permits than cells; workers that release permits don't announce it."""
        return bool(self._executor.starved())

    def claims(self) -> Sequence[Claiming]:
        """Return the claims of batches with and without calls."""
        claims: list[Claiming] = []
        if self._executor.in_hand.room_for_calls:
            claims.append(self._claim_calls)
        if self._executor.in_hand.room_for_cells:
            claims.append(self._claim_cells)
        return claims

    def overdue_claims(self) -> Sequence[Claiming]:
        """Return the claim of batches that didn't begin within their job's queue timeout."""
        return [_claim_overdue]

    @property
    def held(self) -> Sequence[ClaimedBatch]:
        """The batches in hand."""
        return self._executor.held

    @property
    def watched(self) -> Sequence[ClaimedBatch]:
        """The batches that make calls; others end at once."""
        return [run.batch for run in self._executor.in_hand.runs if run.makes_calls]

    @property
    def running(self) -> int:
        """The number of cells in hand, and of calls that may be in flight."""
        return self._executor.in_hand.permits

    async def take(self, claim: Claim) -> None:
        """Run batches, and make more calls of batches that got more permits.

        A batch with an unreadable spec, or for an identity that this worker doesn't serve, is left to its lease; it
        fails after ten.
        """
        for batch, permits in claim.grown:
            self._executor.grow(batch, permits)
        for batch in claim.batches:
            if batch.was_lost:
                self._context.log.warning("lease_lost", **_batch_fields(batch), times=batch.lost_leases)
            if not self._can_answer(batch):
                self._context.log.error("identity_not_served", **_batch_fields(batch), identity_no=batch.identity_no)
        answered = [batch for batch in claim.batches if self._can_answer(batch)]
        specs = await self._specs.load(batch.job_no for batch in answered)
        for batch in answered:
            if batch.job_no not in specs:
                self._context.log.error("spec_not_readable", **_batch_fields(batch))
        self._executor.start([batch for batch in answered if batch.job_no in specs], specs)

    def release(self, batch: ClaimedBatch) -> None:
        """Release a batch and stop its calls."""
        self._executor.release(batch)

    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, unless the writer has all its results."""
        self._executor.lose(batch)

    def drain(self) -> None:
        """Start no more calls."""
        self._executor.drain()

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self._executor.emptied()

    async def recorded(self) -> None:
        """Wait until the writer has recorded everything."""
        await self._writer.drain()

    def _on_recorded(self, recorded: Recorded) -> None:
        """Release batches whose end is recorded, and stale batches; look for more."""
        self._executor.follow(recorded)
        if recorded.stale or any(report.freed_permits or report.status != "running" for report in recorded.written):
            self._wakes.own_kind()

    def _on_refused(self, batch: ClaimedBatch) -> None:
        """Leave a batch whose results can't be recorded to its lease."""
        self._executor.set_aside(batch)
        self._wakes.all_kinds()

    async def _claim_calls(self, connection: Connection, claimant: Claimant) -> Claim:
        executor, pools = self._executor, self._context.serving.called
        room, growing = executor.in_hand.room_for_calls, executor.starved()
        return await claiming.claim_calls(connection, pools, claimant, calls=room, growing=growing)

    async def _claim_cells(self, connection: Connection, claimant: Claimant) -> Claim:
        pools, room = self._context.serving.instant, self._executor.in_hand.room_for_cells
        return await claiming.claim_cells(connection, pools, claimant, cells=room)

    def _can_answer(self, batch: ClaimedBatch) -> bool:
        """Say whether this worker can run a batch; a batch that is only to be ended needs no provider."""
        return batch.is_overdue or self._context.provider_of(batch.identity_no) is not None


async def _claim_overdue(connection: Connection, claimant: Claimant) -> Claim:
    return Claim(await claiming.claim_overdue(connection, claimant, INFERENCE.name, limit=OVERDUE_AT_ONCE))


def _batch_fields(batch: ClaimedBatch) -> dict[str, int]:
    return {"job_no": batch.job_no, "batch_no": batch.batch_no, "fence": batch.fence}


KIND = WorkerKind(INFERENCE, InferenceRunner)
