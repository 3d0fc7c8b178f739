"""Recording results: one flush at a time takes whatever has come in meanwhile; no timer, so little load waits for none.

A flush is one transaction. What it brings in of leases that others took changes nothing and is counted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from db import results, tallies
from db.batches import ClaimedBatch
from db.engine import GONE, REFUSED, TOO_SLOW, UNFIT, Connection, in_transaction
from db.gates import longer_refusal
from db.results import CellsAlreadyTerminal, Recorded, Settlement, is_dead_letter
from db.tallies import Tally, tally
from runtime.metrics import (
    DUPLICATES_PREVENTED,
    EXECUTION_DURATION,
    EXECUTIONS,
    EXECUTIONS_INCOMPLETE,
    EXECUTIONS_SIMULATED,
    EXECUTIONS_UNCONFIRMED_REGION,
    RETRIES,
)
from worker.context import Context
from worker.providers.echo import Echo

FLUSH_CELLS = 2_000
"""Results of one flush, about: past that a bigger flush is no faster, and a lost one costs more."""
PATIENCE_SECONDS = 0.2


class Writer:
    """Takes settlements from the executor and records them.

    `on_recorded` hears of each flush after its commit: what it settled and what was stale; `on_refused` of a batch
    whose results the database won't take.
    """

    def __init__(
        self, context: Context, on_recorded: Callable[[Recorded], None], on_refused: Callable[[ClaimedBatch], None]
    ) -> None:
        self._context = context
        self._on_refused = on_refused
        self._on_recorded = on_recorded
        self._waiting: dict[tuple[int, int, int, int], Settlement] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, settlement: Settlement) -> None:
        """Hand over what is new of a batch; it is merged with what already waits of it."""
        waiting = self._waiting.setdefault(settlement.batch.key, settlement)
        if waiting is not settlement:
            waiting.completed += settlement.completed
            waiting.ended += settlement.ended
            waiting.retried += settlement.retried
            waiting.responses += settlement.responses
            waiting.is_released = settlement.is_released
            waiting.is_yielded = settlement.is_yielded
            waiting.due_in_seconds = settlement.due_in_seconds
            waiting.freed_slots += settlement.freed_slots
            waiting.refusal = longer_refusal(waiting.refusal, settlement.refusal)
            waiting.opens_gate = settlement.opens_gate or waiting.opens_gate
        self._idle.clear()
        self._arrived.set()

    async def drain(self) -> None:
        """Wait until everything submitted is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record until cancelled. A database that is away or in trouble delays results, it doesn't lose them."""
        while True:
            await self._arrived.wait()
            taken = self._take()
            while not await self._flush(taken):
                pass
            if not self._waiting:
                self._arrived.clear()
                self._idle.set()

    def _take(self) -> list[Settlement]:
        """Take what waits up to a flush, the smallest first: a small job doesn't wait behind the batches of large ones.

        Those wait no longer than for what a worker holds.
        """
        taken: list[Settlement] = []
        results = 0
        for settlement in sorted(self._waiting.values(), key=lambda one: one.results):
            if results >= FLUSH_CELLS:
                break
            taken.append(self._waiting.pop(settlement.batch.key))
            results += settlement.results
        return taken

    async def _flush(self, settlements: Sequence[Settlement]) -> bool:
        """Try to record these; return whether nothing of them is left to do."""
        try:
            recorded = await in_transaction(self._context.engine, lambda c: self._record(c, settlements))
        except CellsAlreadyTerminal:
            return await self._drop_settled_cells(settlements)
        except UNFIT as error:
            await self._record_each(settlements, error)
            return True
        except (*GONE, *REFUSED) as error:  # about the moment: a paid answer is kept until it can be recorded
            await self._wait(settlements, error)
            if len(settlements) > 1 and isinstance(error, TOO_SLOW):  # all at once may never be done in time
                await self._record_each(settlements, error)
                return True
            return False
        self._observe(recorded)
        self._on_recorded(recorded)
        return True

    async def _wait(self, settlements: Sequence[Settlement], error: Exception) -> None:
        self._context.log.warning(
            "flush_delayed", error=str(error), error_type=type(error).__name__, batches=len(settlements)
        )
        await asyncio.sleep(PATIENCE_SECONDS)

    async def _record_each(self, settlements: Sequence[Settlement], error: Exception) -> None:
        """Record one batch at a time, so that one whose values the database refuses harms no other; set that aside."""
        if len(settlements) == 1:
            batch = settlements[0].batch
            self._context.log.error("results_refused", job_no=batch.job_no, batch_no=batch.batch_no, error=str(error))
            self._on_refused(batch)
            return
        for one in settlements:
            while not await self._flush([one]):
                pass

    async def _record(self, connection: Connection, settlements: Sequence[Settlement]) -> Recorded:
        recorded = await results.record(connection, settlements, source=self._context.worker_id)
        counted = [*_tallies(recorded), *_answer_tallies(recorded.settled, self._is_simulated)]
        await tallies.add(connection, self._context.worker_no, counted)
        return recorded

    def _is_simulated(self, batch: ClaimedBatch) -> bool:
        return isinstance(self._context.provider_of(batch.identity_no), Echo)

    async def _drop_settled_cells(self, settlements: Sequence[Settlement]) -> bool:
        """Leave out the cells that have moved on, and count them; return whether nothing can be repeated."""

        async def find(connection: Connection) -> set[tuple[int, ...]]:
            settled = await results.settled_cells(connection, settlements)
            prevented = tally(DUPLICATES_PREVENTED.name, len(settled), layer="execution", reason="already_terminal")
            await tallies.add(connection, self._context.worker_no, [prevented])
            return settled

        try:
            settled = await in_transaction(self._context.engine, find)
        except (*GONE, *REFUSED) as error:
            await self._wait(settlements, error)
            return False
        if not settled:  # cells are missing, which nothing that this service does can bring about
            await self._record_each(settlements, RuntimeError("Cells of this batch are missing."))
            return True
        for settlement in settlements:
            _drop(settlement, settled)
        self._context.log.warning(
            "duplicate_prevented", layer="execution", reason="already_terminal", cells=len(settled)
        )
        return False

    def _observe(self, recorded: Recorded) -> None:
        durations: Counter[int] = Counter()
        for settlement in recorded.settled:
            for cells in (settlement.completed, settlement.ended, settlement.retried):
                durations.update(cell[5] - cell[4] for cell in cells if cell[4] is not None)
        histogram = self._context.histograms[EXECUTION_DURATION]
        for microseconds, count in durations.items():
            histogram.observe(microseconds / 1_000_000, count)
        for settlement in recorded.stale:
            if not settlement.results:  # slots of a batch that ended with its last cell
                continue
            self._context.log.warning(
                "duplicate_prevented",
                layer="fence",
                reason="stale_lease",
                job_no=settlement.batch.job_no,
                batch_no=settlement.batch.batch_no,
                fence=settlement.batch.fence,
                cells=settlement.results,
            )
        for settlement in recorded.settled:
            self._log_gate(settlement)
            self._log_dead_letters(settlement)
        for job in recorded.jobs:
            if job.status != "running":
                self._context.log.info("job_finished", job_id=job.id, status=job.status)

    def _log_gate(self, settlement: Settlement) -> None:
        pool = {"provider": settlement.batch.provider, "region": settlement.batch.region}
        if settlement.opens_gate:
            self._context.log.info("gate_opened", **pool)
        if settlement.refusal is not None:
            refusal = settlement.refusal
            self._context.log.warning("gate_closed", **pool, code=refusal.code, seconds=refusal.seconds)

    def _log_dead_letters(self, settlement: Settlement) -> None:
        for cell in settlement.ended:
            if is_dead_letter(cell):
                named = f"{cell.job_no}-{cell.model_no}-{cell.region_no}-{cell.question_no}"
                self._context.log.warning("dead_letter", execution_id=named, code=cell.error_code)


def _drop(settlement: Settlement, settled: set[tuple[int, ...]]) -> None:
    results = settlement.results
    settlement.completed = [cell for cell in settlement.completed if cell[:4] not in settled]
    settlement.ended = [cell for cell in settlement.ended if cell[:4] not in settled]
    settlement.retried = [cell for cell in settlement.retried if cell[:4] not in settled]
    if settlement.results < results:
        settlement.freed_slots = 0  # the flush that wrote them freed them


def _tallies(recorded: Recorded) -> list[Tally]:
    return [*_execution_tallies(recorded.settled), *_retry_tallies(recorded.settled), *_stale_tallies(recorded.stale)]


def _execution_tallies(settled: Sequence[Settlement]) -> list[Tally]:
    ended: Counter[tuple[str, str, str]] = Counter()
    for one in settled:
        ended["completed", one.batch.provider, one.batch.region] += len(one.completed)
        ended["failed", one.batch.provider, one.batch.region] += one.failed
        ended["unknown", one.batch.provider, one.batch.region] += one.unknown
    return [
        tally(EXECUTIONS.name, count, status=status, provider=provider, region=region)
        for (status, provider, region), count in ended.items()
        if count
    ]


def _answer_tallies(settled: Sequence[Settlement], is_simulated: Callable[[ClaimedBatch], bool]) -> list[Tally]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in settled:
        pool = (one.batch.provider, one.batch.region)
        counts[EXECUTIONS_SIMULATED.name, *pool] += len(one.completed) * is_simulated(one.batch)
        counts[EXECUTIONS_INCOMPLETE.name, *pool] += one.incomplete
        counts[EXECUTIONS_UNCONFIRMED_REGION.name, *pool] += sum(cell.region_served is None for cell in one.completed)
    return [
        tally(series, count, provider=provider, region=region)
        for (series, provider, region), count in counts.items()
        if count
    ]


def _retry_tallies(settled: Sequence[Settlement]) -> list[Tally]:
    reasons = Counter(cell.error_code for one in settled for cell in one.retried)
    return [tally(RETRIES.name, count, reason=reason) for reason, count in reasons.items()]


def _stale_tallies(stale: Sequence[Settlement]) -> list[Tally]:
    results = sum(one.results for one in stale)
    return [tally(DUPLICATES_PREVENTED.name, results, layer="fence", reason="stale_lease")] if results else []
