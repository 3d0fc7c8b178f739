"""Recording results: one flush at a time takes whatever has come in meanwhile; no timer, so little load waits for none.

A flush is one transaction. What it brings in of leases that others took changes nothing and is counted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from db import results, tallies
from db.engine import GONE, Connection, in_transaction
from db.results import CellsAlreadyTerminal, Recorded, Settlement
from db.tallies import Tally, tally
from runtime.metrics import DUPLICATES_PREVENTED, EXECUTION_DURATION, EXECUTIONS, RETRIES
from worker.context import Context

FLUSH_CELLS = 2_000
"""Results of one flush, about: past that a bigger flush is no faster, and a lost one costs more."""
PATIENCE_SECONDS = 0.2


class Writer:
    """Takes settlements from the executor and records them.

    `on_recorded` hears of each flush after its commit: what it settled, what was stale, which batches it made ready.
    """

    def __init__(self, context: Context, on_recorded: Callable[[Recorded], None]) -> None:
        self._context = context
        self._on_recorded = on_recorded
        self._waiting: dict[tuple[int, int, int, int], Settlement] = {}
        self._in_flight: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, settlement: Settlement) -> None:
        """Hand over what is new of a batch; it is merged with what already waits of it."""
        waiting = self._waiting.setdefault(settlement.batch.key, settlement)
        if waiting is not settlement:
            waiting.completed += settlement.completed
            waiting.failed += settlement.failed
            waiting.retried += settlement.retried
            waiting.open_cells = settlement.open_cells
            waiting.is_released = settlement.is_released
            waiting.due_in_seconds = settlement.due_in_seconds
        self._idle.clear()
        self._arrived.set()

    async def drain(self) -> None:
        """Wait until everything submitted is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record until cancelled. A database that is away delays results, it doesn't lose them."""
        while True:
            await self._arrived.wait()
            self._in_flight = self._take()
            while self._in_flight:
                await self._flush()
            if not self._waiting:
                self._arrived.clear()
                self._idle.set()

    def _take(self) -> list[Settlement]:
        taken: list[Settlement] = []
        results = 0
        while self._waiting and results < FLUSH_CELLS:
            settlement = self._waiting.pop(next(iter(self._waiting)))
            taken.append(settlement)
            results += settlement.results
        return taken

    async def _flush(self) -> None:
        try:
            try:
                recorded = await in_transaction(self._context.engine, self._record)
            except CellsAlreadyTerminal:
                await self._drop_terminal_cells()
                return
        except GONE as error:
            self._context.log.warning("flush_delayed", error=str(error), batches=len(self._in_flight))
            await asyncio.sleep(PATIENCE_SECONDS)
        else:
            self._in_flight = []
            self._observe(recorded)
            self._on_recorded(recorded)

    async def _record(self, connection: Connection) -> Recorded:
        recorded = await results.record(connection, self._in_flight, source=self._context.worker_id)
        await tallies.add(connection, self._context.worker_no, _tallies(recorded))
        return recorded

    async def _drop_terminal_cells(self) -> None:
        """Leave out the cells that have a result already, and count them; the flush is then repeated."""

        async def find(connection: Connection) -> set[tuple[int, ...]]:
            terminal = await results.terminal_cells(connection, self._in_flight)
            prevented = tally(DUPLICATES_PREVENTED.name, len(terminal), layer="execution", reason="already_terminal")
            await tallies.add(connection, self._context.worker_no, [prevented])
            return terminal

        terminal = await in_transaction(self._context.engine, find)
        for settlement in self._in_flight:
            _drop(settlement, terminal)
        self._context.log.warning(
            "duplicate_prevented", layer="execution", reason="already_terminal", cells=len(terminal)
        )

    def _observe(self, recorded: Recorded) -> None:
        durations: Counter[int] = Counter()
        for settlement in recorded.settled:
            for cells in (settlement.completed, settlement.failed, settlement.retried):
                durations.update(cell[5] - cell[4] for cell in cells)
        histogram = self._context.histograms[EXECUTION_DURATION]
        for microseconds, count in durations.items():
            histogram.observe(microseconds / 1_000_000, count)
        for settlement in recorded.stale:
            self._context.log.warning(
                "duplicate_prevented",
                layer="fence",
                reason="stale_lease",
                job_no=settlement.batch.job_no,
                batch_no=settlement.batch.batch_no,
                fence=settlement.batch.fence,
                cells=settlement.results,
            )
        for job in recorded.jobs:
            if job.status != "running":
                self._context.log.info("job_finished", job_id=job.id, status=job.status)


def _drop(settlement: Settlement, terminal: set[tuple[int, ...]]) -> None:
    settlement.completed = [cell for cell in settlement.completed if cell[:4] not in terminal]
    settlement.failed = [cell for cell in settlement.failed if cell[:4] not in terminal]
    settlement.retried = [cell for cell in settlement.retried if cell[:4] not in terminal]


def _tallies(recorded: Recorded) -> list[Tally]:
    return [*_execution_tallies(recorded.settled), *_retry_tallies(recorded.settled), *_stale_tallies(recorded.stale)]


def _execution_tallies(settled: Sequence[Settlement]) -> list[Tally]:
    ended: Counter[tuple[str, str, str]] = Counter()
    for one in settled:
        ended["completed", one.batch.provider, one.batch.region] += len(one.completed)
        ended["failed", one.batch.provider, one.batch.region] += len(one.failed)
    return [
        tally(EXECUTIONS.name, count, status=status, provider=provider, region=region)
        for (status, provider, region), count in ended.items()
        if count
    ]


def _retry_tallies(settled: Sequence[Settlement]) -> list[Tally]:
    reasons = Counter(cell.error_code for one in settled for cell in one.retried)
    return [tally(RETRIES.name, count, reason=reason) for reason, count in reasons.items()]


def _stale_tallies(stale: Sequence[Settlement]) -> list[Tally]:
    results = sum(one.results for one in stale)
    return [tally(DUPLICATES_PREVENTED.name, results, layer="fence", reason="stale_lease")] if results else []
