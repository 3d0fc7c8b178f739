"""Loading: the rows of several batches and their ends go out in one transaction, while the next ones are read.

No timer: a load takes what was read while the ones before were under way, so little work waits for none.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from db import importing, tallies
from db.engine import GONE, REFUSED, Connection, in_transaction
from db.importing import DuplicateKeys, ImportRecorded, ImportSettlement
from db.tallies import Tally, tally
from runtime.metrics import DUPLICATES_PREVENTED, IMPORT_BATCHES, IMPORT_ROWS, RETRIES
from worker import load_logs, settlements
from worker.context import Context

LOAD_ROWS = 5_000
"""Rows of one transaction, about: ten batches of 500 went 1.3 to 3 times as fast as one."""
LOAD_BYTES = 16 * 1024 * 1024
LOADS_AT_ONCE = 2
PATIENCE_SECONDS = 0.2


class Loader:
    """Takes settlements of batches and records them; `on_recorded` hears of each load after its commit."""

    def __init__(self, context: Context, on_recorded: Callable[[ImportRecorded], None]) -> None:
        self._context = context
        self._on_recorded = on_recorded
        self._waiting: list[ImportSettlement] = []
        self._arrived = asyncio.Event()
        self._is_known = False

    def submit(self, settlement: ImportSettlement) -> None:
        """Hand over what became of a batch."""
        self._waiting.append(settlement)
        self._arrived.set()

    async def run(self) -> None:
        """Record until cancelled. A database that is away or in trouble delays rows, it doesn't lose them."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LOADS_AT_ONCE):
                group.create_task(self._load_all())

    async def _load_all(self) -> None:
        while True:
            await self._arrived.wait()
            if self._waiting:
                await self._load(self._take())

    def _take(self) -> list[ImportSettlement]:
        """Take what makes a transaction. Of jobs that load into the same rows it takes one; the others' come later."""
        taken: list[ImportSettlement] = []
        left: list[ImportSettlement] = []
        job_by_record_set: dict[int, int] = {}
        rows = size = 0
        for one in self._waiting:
            job_no = one.batch.job_no
            has_room = rows < LOAD_ROWS and size < LOAD_BYTES
            if has_room and job_by_record_set.setdefault(one.range.record_set_no, job_no) == job_no:
                taken.append(one)
                rows += one.rows_read
                size += one.memory_bytes
            else:
                left.append(one)
        self._waiting = left
        if not left:
            self._arrived.clear()
        return taken

    async def _load(self, taken: Sequence[ImportSettlement]) -> None:
        """Record these, whatever it takes: a key that came twice becomes a reject, what is refused fails alone."""
        while True:
            try:
                recorded = await in_transaction(self._context.engine, lambda c: self._record(c, taken))
            except DuplicateKeys as twice:
                for one in taken:
                    if keys := twice.keys_by_batch.get((one.batch.job_no, one.batch.batch_no)):
                        settlements.reject_duplicates(one, keys)
            except GONE as error:
                jobs = load_logs.job_ids(taken)
                self._context.log.warning("load_delayed", error=str(error), batches=len(taken), job_ids=jobs)
                await asyncio.sleep(PATIENCE_SECONDS)
            except REFUSED as error:
                await self._load_each(taken, error)
                return
            else:
                self._learn(recorded)
                load_logs.tell(self._context.log, recorded)
                self._on_recorded(recorded)
                return

    def _learn(self, recorded: ImportRecorded) -> None:
        """Expect of the next rows what the last ones were, for the most part: new, or known."""
        inserted = sum(one.inserted for one in recorded.settled)
        known = sum(one.known for one in recorded.settled)
        if inserted or known:
            self._is_known = known > inserted

    async def _load_each(self, taken: Sequence[ImportSettlement], error: Exception) -> None:
        """Record one batch at a time, so that one that the database refuses harms no other; that one fails."""
        if len(taken) > 1:
            for one in taken:
                await self._load([one])
            return
        [one] = taken
        self._context.log.error("rows_refused", **load_logs.named(one.batch, one.range), error=str(error))
        if one.error_code == settlements.ROWS_REFUSED:  # not even its end is taken: its lease will run out
            self._on_recorded(ImportRecorded(stale=taken))
            return
        settlements.refuse_rows(one)
        await self._load(taken)

    async def _record(self, connection: Connection, taken: Sequence[ImportSettlement]) -> ImportRecorded:
        recorded = await importing.record(connection, taken, source=self._context.worker_id, is_known=self._is_known)
        await tallies.add(connection, self._context.worker_no, _tallies(recorded))
        return recorded


def _tallies(recorded: ImportRecorded) -> list[Tally]:
    return [*_end_tallies(recorded.settled), *_retry_tallies(recorded.settled), *_stale_tallies(recorded.stale)]


def _end_tallies(settled: Sequence[ImportSettlement]) -> list[Tally]:
    ended = [one for one in settled if one.status != "pending"]
    rows = {
        "inserted": sum(one.inserted for one in ended),
        "updated": sum(one.updated for one in ended),
        "unchanged": sum(one.unchanged for one in ended),
        "rejected": sum(len(one.rejected) for one in ended),
    }
    batches = Counter(one.status for one in ended)
    return [
        *(tally(IMPORT_BATCHES.name, count, status=status) for status, count in batches.items()),
        *(tally(IMPORT_ROWS.name, count, result=result) for result, count in rows.items() if count),
    ]


def _retry_tallies(settled: Sequence[ImportSettlement]) -> list[Tally]:
    reasons = Counter(one.error_code for one in settled if one.status == "pending" and one.error_code)
    return [tally(RETRIES.name, count, reason=reason) for reason, count in reasons.items()]


def _stale_tallies(stale: Sequence[ImportSettlement]) -> list[Tally]:
    if not stale:
        return []
    return [tally(DUPLICATES_PREVENTED.name, len(stale), layer="batch", reason="stale_lease")]
