"""Loading: writing the rows and ends of several batches in one transaction, while the next batches are read.

There is no timer: a load takes the batches that were read during earlier loads, so a single batch never waits.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from db import counters, import_results
from db.batches import ClaimedBatch
from db.counters import Increment, increment
from db.engine import INVALID_DATA, REJECTED, TIMED_OUT, UNAVAILABLE, Connection, in_transaction
from db.import_reports import ImportReport
from db.import_results import ImportRecorded, LeasesLost
from db.record_writing import DuplicateKeys
from runtime.metrics import DUPLICATES_PREVENTED, IMPORT_BATCHES, IMPORT_ROWS, RETRIES
from runtime.retrying import retry
from worker.context import Context
from worker.imports import batch_ends, load_logs

LOAD_ROWS = 5_000
"""Approximate rows of a transaction: ten batches of 500 are 1.3 to 3 times as fast as a single batch."""
LOAD_BYTES = 16 * 1024 * 1024
LOAD_SECONDS = 2.0
"""The aimed length of a transaction at the speed of the last one: a slow database gets fewer rows in each."""
LOADS_AT_ONCE = 2
RETRY_SECONDS = 0.2


class Loader:
    """Records reports of batches; `on_recorded` is called after the commit of each load."""

    def __init__(self, context: Context, on_recorded: Callable[[ImportRecorded], None]) -> None:
        self._context = context
        self._on_recorded = on_recorded
        self._waiting: list[ImportReport] = []
        self._arrived = asyncio.Event()
        self._is_known = False
        self._most_rows = LOAD_ROWS
        self._limit_by_batch: dict[tuple[int, int, int, int], asyncio.Timeout] = {}

    def submit(self, report: ImportReport) -> None:
        """Queue the report of a batch."""
        self._waiting.append(report)
        self._arrived.set()

    def lose(self, batch: ClaimedBatch) -> None:
        """Cancel the load that writes this batch, whose lease was lost."""
        limit = self._limit_by_batch.get(batch.key)
        if limit is not None and limit.when() is None:
            limit.reschedule(0)

    async def run(self) -> None:
        """Record until cancelled. An unavailable or failing database delays rows, but loses none."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LOADS_AT_ONCE):
                group.create_task(self._load_all())

    async def _load_all(self) -> None:
        while True:
            await self._arrived.wait()
            if self._waiting:
                await self._load(self._take())

    def _take(self) -> list[ImportReport]:
        """Take the reports of a transaction. Of jobs that load into the same record sets, only one is taken at once."""
        taken: list[ImportReport] = []
        left: list[ImportReport] = []
        job_by_record_set: dict[int, int] = {}
        rows = size = 0
        for report in self._waiting:
            job_no = report.batch.job_no
            has_room = rows < self._most_rows and size < LOAD_BYTES
            if has_room and job_by_record_set.setdefault(report.range.record_set_no, job_no) == job_no:
                taken.append(report)
                rows += report.rows_read
                size += report.memory_bytes
            else:
                left.append(report)
        self._waiting = left
        if not left:
            self._arrived.clear()
        return taken

    async def _load(self, taken: Sequence[ImportReport]) -> None:
        """Record these reports: a repeated key becomes a reject, and a batch that the database refuses fails alone."""
        while True:
            try:
                recorded, seconds = await self._commit(taken)
            except LeasesLost:
                continue  # the next try finds out which leases were lost
            except DuplicateKeys as twice:
                _reject(taken, twice)
            except (_TimedOut, *INVALID_DATA) as error:
                if len(taken) > 1:
                    for report in taken:  # one at a time, so that a refused batch doesn't affect others
                        await self._load([report])
                    return
                if not self._give_up(taken[0], error):
                    return
            else:
                self._learn(recorded, seconds)
                load_logs.log_load(self._context.log, recorded)
                self._on_recorded(recorded)
                return

    def _learn(self, recorded: ImportRecorded, seconds: float) -> None:
        """Expect the next rows to be like the last ones: mostly new or known, fast or slow to write."""
        if rows := sum(report.rows_read for report in recorded.written):
            self._most_rows = min(LOAD_ROWS, max(1, int(rows / seconds * LOAD_SECONDS)))
        inserted = sum(report.inserted for report in recorded.written)
        known = sum(report.known for report in recorded.written)
        if inserted or known:
            self._is_known = known > inserted

    def _give_up(self, report: ImportReport, error: Exception) -> bool:
        """Give up the rows of a batch; return whether its end is still to be recorded.

        A batch that can't be written in time uses up a try; a batch whose rows the database refuses fails.
        """
        if isinstance(error, _TimedOut):
            batch_ends.reschedule(report)
            return True
        self._context.log.error("rows_refused", **load_logs.batch_fields(report.batch, report.range), error=str(error))
        if report.error_code == batch_ends.ROWS_REFUSED:  # even its end was refused: leave it to its lease
            self._on_recorded(ImportRecorded(stale=[report]))
            return False
        batch_ends.refuse_rows(report)
        return True

    async def _commit(self, taken: Sequence[ImportReport]) -> tuple[ImportRecorded, float]:
        """Write these reports in a transaction; retry while the database is unavailable.

        Return the duration of the last try. Raises as `_record`, and INVALID_DATA if the database refuses values.
        """

        async def timed() -> tuple[ImportRecorded, float]:
            began = time.monotonic()
            recorded = await in_transaction(self._context.engine, lambda c: self._record(c, taken))
            return recorded, time.monotonic() - began

        # A batch without rows can't be split: the database hangs, or another session holds the batch.
        is_least = len(taken) == 1 and not taken[0].records
        return await retry(
            timed,
            on=(*UNAVAILABLE, *REJECTED, *((_TimedOut,) if is_least else ())),
            but_not=INVALID_DATA,
            delay_seconds=RETRY_SECONDS,
            log_delay=lambda error: self._log_delay(taken, error),
        )

    def _log_delay(self, taken: Sequence[ImportReport], error: Exception) -> None:
        self._context.log.warning(
            "load_delayed",
            error=str(error),
            error_type=type(error).__name__,
            batches=len(taken),
            job_ids=load_logs.job_ids(taken),
        )

    async def _record(self, connection: Connection, taken: Sequence[ImportReport]) -> ImportRecorded:
        """Write these reports in a transaction. Raises LeasesLost as soon as it is known, DuplicateKeys, _TimedOut."""
        limit = asyncio.timeout(None)
        leases = [report.batch.key for report in taken]
        self._limit_by_batch.update(dict.fromkeys(leases, limit))
        try:
            async with limit:
                source = self._context.worker_id
                recorded = await import_results.record(connection, taken, source=source, is_known=self._is_known)
                await counters.add(connection, self._context.worker_no, _increments(recorded))
                return recorded
        except TIMED_OUT as error:
            if limit.expired():
                raise LeasesLost from error
            self._most_rows = 1
            raise _TimedOut from error
        finally:
            for lease in leases:
                del self._limit_by_batch[lease]


def _reject(taken: Sequence[ImportReport], twice: DuplicateKeys) -> None:
    for report in taken:
        if keys := twice.keys_by_batch.get((report.batch.job_no, report.batch.batch_no)):
            batch_ends.reject_duplicates(report, keys)


class _TimedOut(Exception):
    """A statement of the load exceeded its time limit."""


def _increments(recorded: ImportRecorded) -> list[Increment]:
    return [
        *_end_increments(recorded.written),
        *_retry_increments(recorded.written),
        *_stale_increments(recorded.stale),
    ]


def _end_increments(reports: Sequence[ImportReport]) -> list[Increment]:
    ended = [report for report in reports if report.status != "pending"]
    rows = {
        "inserted": sum(report.inserted for report in ended),
        "updated": sum(report.updated for report in ended),
        "unchanged": sum(report.unchanged for report in ended),
        "superseded": sum(report.superseded for report in ended),
        "rejected": sum(len(report.rejected) for report in ended),
    }
    batches = Counter(report.status for report in ended)
    return [
        *(increment(IMPORT_BATCHES.name, count, status=status) for status, count in batches.items()),
        *(increment(IMPORT_ROWS.name, count, result=result) for result, count in rows.items() if count),
    ]


def _retry_increments(reports: Sequence[ImportReport]) -> list[Increment]:
    reasons = Counter(report.error_code for report in reports if report.status == "pending" and report.error_code)
    return [increment(RETRIES.name, count, reason=reason) for reason, count in reasons.items()]


def _stale_increments(stale: Sequence[ImportReport]) -> list[Increment]:
    if not stale:
        return []
    return [increment(DUPLICATES_PREVENTED.name, len(stale), layer="batch", reason="stale_lease")]
