"""The import batches that this worker holds, and its remaining room, by number and by memory."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from db.batches import ClaimedBatch
from db.import_reports import ImportRange, ImportReport
from domain.import_spec import ImportSpec

ROOM_BATCHES = 30
"""Import batches in hand: as many as are read while two loads of ten are in progress."""
ROOM_BYTES = 64 * 1024 * 1024
"""The approximate memory that their rows may take; a single batch is read at any size."""
UNKNOWN_BYTES = ROOM_BYTES // 4
"""The assumed size of a record type's first batch, which is read before its other batches."""


@dataclass(slots=True, eq=False)
class BatchRead:
    """A claimed import batch: its range, whether it was read to the end, and the memory of its rows.

    `spec` is None if it can't be read: then the batch is only to be ended.
    """

    batch: ClaimedBatch
    range: ImportRange
    spec: ImportSpec | None
    is_read: bool = False
    bytes: int = 0
    task: "asyncio.Task[None] | None" = None

    @property
    def record_type(self) -> tuple[int, int]:
        """Its job and its record type there."""
        return self.batch.job_no, self.range.record_type_no

    @property
    def has_begun(self) -> bool:
        """Whether its reading has begun."""
        return self.task is not None or self.is_read


class ReadsInHand:
    """Holds batches from their claim until their end is recorded or their lease is lost. `is_empty` while none is."""

    def __init__(self) -> None:
        self._read_by_lease: dict[tuple[int, int, int, int], BatchRead] = {}
        self._row_bytes: dict[tuple[int, int], float] = {}
        self.is_empty = asyncio.Event()
        self.is_empty.set()

    @property
    def all(self) -> Collection[BatchRead]:
        """The batches, oldest first."""
        return self._read_by_lease.values()

    @property
    def unread(self) -> int:
        """How many batches aren't read yet."""
        return sum(not read.is_read for read in self.all)

    @property
    def room(self) -> int:
        """How many more batches may be claimed."""
        if sum(map(self._bytes_of, self.all)) >= ROOM_BYTES:
            return 0
        return max(0, ROOM_BATCHES - len(self.all))

    def find(self, batch: ClaimedBatch) -> BatchRead | None:
        """Return the read of a batch if it is in hand under this lease."""
        return self._read_by_lease.get(batch.key)

    def take(self, read: BatchRead) -> None:
        """Take a claimed batch in hand."""
        self._read_by_lease[read.batch.key] = read
        self.is_empty.clear()

    def drop(self, batch: ClaimedBatch) -> None:
        """Release a batch and stop reading it. Repeating it changes nothing."""
        read = self._read_by_lease.pop(batch.key, None)
        if read is not None and read.task is not None and not read.is_read:
            read.task.cancel()
        if not self._read_by_lease:
            self.is_empty.set()

    def next_to_read(self) -> tuple[BatchRead, ImportSpec] | None:
        """Return the next batch to read, with its spec, if there is memory for it.

        Batches of a record type whose first batch is being read are passed over: the width of its rows isn't known yet.
        """
        begun = [read for read in self.all if read.has_begun]
        unknown = {read.record_type for read in begun if not read.is_read} - self._row_bytes.keys()
        for read in self.all:
            if read.spec is not None and not read.has_begun and read.record_type not in unknown:
                fits = sum(map(self._bytes_of, (*begun, read))) <= ROOM_BYTES
                return (read, read.spec) if fits or not begun else None
        return None

    def note_end(self, read: BatchRead, report: ImportReport) -> None:
        """Note the end of a batch's read; later batches of its record type are expected to be as wide as the widest."""
        read.is_read = True
        read.bytes = report.memory_bytes
        if report.records:
            row_bytes = read.bytes / len(report.records)
            self._row_bytes[read.record_type] = max(row_bytes, self._row_bytes.get(read.record_type, 0))

    def forget_rows_but_of(self, job_nos: Iterable[int]) -> None:
        """Forget the widths of other jobs' rows."""
        kept = set(job_nos)
        self._row_bytes = {key: width for key, width in self._row_bytes.items() if key[0] in kept}

    def _bytes_of(self, read: BatchRead) -> float:
        """Return the actual or expected bytes of its rows."""
        if read.is_read:
            return read.bytes
        row_bytes = self._row_bytes.get(read.record_type)
        return UNKNOWN_BYTES if row_bytes is None else row_bytes * read.range.rows_expected
