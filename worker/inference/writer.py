"""Recording results: a flush takes all reports that arrived during the flush before it; there is no timer.

A flush is one transaction. Reports under leases that other workers took change nothing and are counted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from db import counters, results
from db.batches import ClaimedBatch
from db.circuit_breakers import longer_refusal
from db.counters import Increment, increment
from db.engine import INVALID_DATA, REJECTED, TIMED_OUT, UNAVAILABLE, Connection, in_transaction
from db.results import BatchReport, CellsAlreadyTerminal, Recorded
from runtime.metrics import (
    DUPLICATES_PREVENTED,
    EXECUTION_DURATION,
    EXECUTIONS,
    EXECUTIONS_INCOMPLETE,
    EXECUTIONS_SIMULATED,
    EXECUTIONS_UNCONFIRMED_REGION,
    RETRIES,
)
from runtime.retrying import retry
from worker.context import Context
from worker.inference import flush_logs
from worker.providers.echo import Echo

FLUSH_CELLS = 2_000
"""Approximate results of a flush: a bigger flush is no faster, and losing it costs more."""
RETRY_SECONDS = 0.2


class CellsMissing(Exception):
    """Cells of a flush neither have a result nor are open; no action of this service leads to that."""


class Writer:
    """Records batch reports of the executor.

    After the commit of a flush `on_recorded` gets the recorded and the stale reports; `on_refused` gets a batch whose
    results the database refuses.
    """

    def __init__(
        self, context: Context, on_recorded: Callable[[Recorded], None], on_refused: Callable[[ClaimedBatch], None]
    ) -> None:
        self._context = context
        self._on_refused = on_refused
        self._on_recorded = on_recorded
        self._waiting: dict[tuple[int, int, int, int], BatchReport] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, report: BatchReport) -> None:
        """Queue a batch's report; it is merged with a waiting report of the batch."""
        waiting = self._waiting.setdefault(report.batch.key, report)
        if waiting is not report:
            waiting.completed += report.completed
            waiting.ended += report.ended
            waiting.retried += report.retried
            waiting.responses += report.responses
            waiting.is_released = report.is_released
            waiting.is_yielded = report.is_yielded
            waiting.due_in_seconds = report.due_in_seconds
            waiting.freed_permits += report.freed_permits
            waiting.refusal = longer_refusal(waiting.refusal, report.refusal)
            waiting.resets_breaker = report.resets_breaker or waiting.resets_breaker
        self._idle.clear()
        self._arrived.set()

    async def drain(self) -> None:
        """Wait until everything submitted is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record until cancelled. An unavailable or failing database delays results, but loses none."""
        while True:
            await self._arrived.wait()
            await self._flush(self._take())
            if not self._waiting:
                self._arrived.clear()
                self._idle.set()

    def _take(self) -> list[BatchReport]:
        """Take the reports of a flush, the smallest first: small jobs don't wait behind batches of large ones.

        Large reports wait at most for the other batches that a worker holds.
        """
        taken: list[BatchReport] = []
        cells = 0
        for report in sorted(self._waiting.values(), key=lambda report: report.results):
            if cells >= FLUSH_CELLS:
                break
            taken.append(self._waiting.pop(report.batch.key))
            cells += report.results
        return taken

    async def _flush(self, reports: Sequence[BatchReport]) -> None:
        """Record these reports, with any number of tries: a paid answer is kept until it can be recorded.

        Only a batch with values that the database refuses is set aside.
        """
        timed_out = TIMED_OUT if len(reports) > 1 else ()  # one transaction for all might never end in time
        try:
            recorded = await retry(
                lambda: self._commit(reports),
                on=(*UNAVAILABLE, *REJECTED),
                but_not=(*INVALID_DATA, *timed_out),
                delay_seconds=RETRY_SECONDS,
                log_delay=lambda error: self._log_delay(reports, error),
            )
        except (*INVALID_DATA, CellsMissing) as error:
            await self._record_each(reports, error)
        except timed_out as error:
            self._log_delay(reports, error)
            await self._record_each(reports, error)
        else:
            self._observe(recorded)
            flush_logs.log_flush(self._context.log, recorded)
            self._on_recorded(recorded)

    def _log_delay(self, reports: Sequence[BatchReport], error: Exception) -> None:
        self._context.log.warning(
            "flush_delayed", error=str(error), error_type=type(error).__name__, batches=len(reports)
        )

    async def _record_each(self, reports: Sequence[BatchReport], error: Exception) -> None:
        """Record one batch at a time, so that refused values affect only their batch, which is set aside."""
        if len(reports) == 1:
            batch = reports[0].batch
            self._context.log.error("results_refused", job_no=batch.job_no, batch_no=batch.batch_no, error=str(error))
            self._on_refused(batch)
            return
        for report in reports:
            await self._flush([report])

    async def _commit(self, reports: Sequence[BatchReport]) -> Recorded:
        """Record these reports in a transaction, without cells that are recorded already. Raises CellsMissing."""
        while True:
            try:
                return await in_transaction(self._context.engine, lambda c: self._record(c, reports))
            except CellsAlreadyTerminal:
                await self._drop_recorded_cells(reports)

    async def _record(self, connection: Connection, reports: Sequence[BatchReport]) -> Recorded:
        recorded = await results.record(connection, reports, source=self._context.worker_id)
        counted = [*_increments(recorded), *_answer_increments(recorded.written, self._is_simulated)]
        await counters.add(connection, self._context.worker_no, counted)
        return recorded

    def _is_simulated(self, batch: ClaimedBatch) -> bool:
        return isinstance(self._context.provider_of(batch.identity_no), Echo)

    async def _drop_recorded_cells(self, reports: Sequence[BatchReport]) -> None:
        """Remove cells that are recorded already from these reports, and count them. Raises CellsMissing if none is."""

        async def find(connection: Connection) -> set[tuple[int, ...]]:
            cells = await results.recorded_cells(connection, reports)
            prevented = increment(DUPLICATES_PREVENTED.name, len(cells), layer="execution", reason="already_terminal")
            await counters.add(connection, self._context.worker_no, [prevented])
            return cells

        cells = await in_transaction(self._context.engine, find)
        if not cells:
            raise CellsMissing("Cells of this batch are missing.")
        for report in reports:
            _drop(report, cells)
        self._context.log.warning("duplicate_prevented", layer="execution", reason="already_terminal", cells=len(cells))

    def _observe(self, recorded: Recorded) -> None:
        durations: Counter[int] = Counter()
        for report in recorded.written:
            for cells in (report.completed, report.ended, report.retried):
                durations.update(cell[5] - cell[4] for cell in cells if cell[4] is not None)
        histogram = self._context.histograms[EXECUTION_DURATION]
        for microseconds, count in durations.items():
            histogram.observe(microseconds / 1_000_000, count)


def _drop(report: BatchReport, cells: set[tuple[int, ...]]) -> None:
    results = report.results
    report.completed = [cell for cell in report.completed if cell[:4] not in cells]
    report.ended = [cell for cell in report.ended if cell[:4] not in cells]
    report.retried = [cell for cell in report.retried if cell[:4] not in cells]
    if report.results < results:
        report.freed_permits = 0  # the earlier flush freed their permits


def _increments(recorded: Recorded) -> list[Increment]:
    return [
        *_execution_increments(recorded.written),
        *_retry_increments(recorded.written),
        *_stale_increments(recorded.stale),
    ]


def _execution_increments(reports: Sequence[BatchReport]) -> list[Increment]:
    ended: Counter[tuple[str, str, str]] = Counter()
    for report in reports:
        ended["completed", *report.batch.pool] += len(report.completed)
        ended["failed", *report.batch.pool] += report.failed
        ended["unknown", *report.batch.pool] += report.unknown
    return [
        increment(EXECUTIONS.name, count, status=status, provider=provider, region=region)
        for (status, provider, region), count in ended.items()
        if count
    ]


def _answer_increments(reports: Sequence[BatchReport], is_simulated: Callable[[ClaimedBatch], bool]) -> list[Increment]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for report in reports:
        pool = report.batch.pool
        counts[EXECUTIONS_SIMULATED.name, *pool] += len(report.completed) * is_simulated(report.batch)
        counts[EXECUTIONS_INCOMPLETE.name, *pool] += report.incomplete
        counts[EXECUTIONS_UNCONFIRMED_REGION.name, *pool] += sum(
            cell.region_served is None for cell in report.completed
        )
    return [
        increment(series, count, provider=provider, region=region)
        for (series, provider, region), count in counts.items()
        if count
    ]


def _retry_increments(reports: Sequence[BatchReport]) -> list[Increment]:
    reasons = Counter(cell.error_code for report in reports for cell in report.retried)
    return [increment(RETRIES.name, count, reason=reason) for reason, count in reasons.items()]


def _stale_increments(stale: Sequence[BatchReport]) -> list[Increment]:
    results = sum(report.results for report in stale)
    return [increment(DUPLICATES_PREVENTED.name, results, layer="fence", reason="stale_lease")] if results else []
