"""Running import batches: reading each batch's range of its source, and passing the rows to the loader."""

import asyncio
from collections.abc import Callable, Sequence

from db.batches import ClaimedBatch
from db.engine import connect
from db.import_reports import ImportRange, ImportReport, read_ranges
from domain.import_spec import ImportSpec
from runtime.metrics import QUEUE_WAIT
from sources.errors import UNFORESEEN, SourceError, SourceNotConfigured
from sources.source_cache import OpenSources
from worker.context import Context
from worker.imports import batch_ends
from worker.imports.load_logs import batch_fields
from worker.imports.loader import Loader
from worker.imports.reads_in_hand import BatchRead, ReadsInHand
from worker.imports.skip_list import SkipList
from worker.runner import LOST_LEASES_LIMIT
from worker.spec_cache import SpecCache

KEPT_SPECS = 100


class Importer:
    """Reads this worker's claimed import batches concurrently, and holds them `in_hand` until they are loaded.

    `on_half_read` is called when half of the batches are read: more may be claimed while those are loaded. Jobs whose
    sources this worker doesn't know are `skipped`.
    """

    def __init__(self, context: Context, loader: Loader, on_half_read: Callable[[], None]) -> None:
        self._context = context
        self._loader = loader
        self._on_half_read = on_half_read
        self._unread_at_start = 0
        self._may_begin = asyncio.Event()
        self._specs = SpecCache(context.engine, ImportSpec.from_json, capacity=KEPT_SPECS)
        self._sources = OpenSources(context.open_source)
        self.skipped = SkipList()
        self.in_hand = ReadsInHand()

    @property
    def held(self) -> list[ClaimedBatch]:
        """The batches in hand, whose leases are this worker's to renew."""
        return [read.batch for read in self.in_hand.all]

    @property
    def read(self) -> list[ClaimedBatch]:
        """The batches that were read and wait to be written."""
        return [read.batch for read in self.in_hand.all if read.is_read]

    async def start(self, batches: Sequence[ClaimedBatch]) -> None:
        """Take these claimed batches in hand. A batch with an unreadable spec is left to its lease, up to ten times."""
        async with connect(self._context.engine) as connection:
            ranges = await read_ranges(connection, batches)
        specs = await self._specs.load(batch.job_no for batch in batches)
        self.in_hand.forget_rows_but_of(self._specs.job_nos)
        for batch in batches:
            self._take(batch, ranges[batch.job_no, batch.batch_no], specs.get(batch.job_no))
        self._unread_at_start = self.in_hand.unread
        self._may_begin.set()

    def _take(self, batch: ClaimedBatch, import_range: ImportRange, spec: ImportSpec | None) -> None:
        if batch.was_lost:
            self._log_lease("lease_lost", batch, import_range, times=batch.lost_leases)
        if spec is not None:
            self.in_hand.take(BatchRead(batch, import_range, spec))
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)
            return
        self._context.log.error("spec_not_readable", **batch_fields(batch, import_range))
        if batch.lost_leases >= LOST_LEASES_LIMIT:
            self.in_hand.take(BatchRead(batch, import_range, spec, is_read=True))
            self._loader.submit(batch_ends.report_lost(batch, import_range))

    def release(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose end is recorded, or whose lease is lost. Repeating it changes nothing."""
        self.in_hand.drop(batch)
        self._may_begin.set()

    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, and log it; the loader undoes a batch that was read already."""
        read = self.in_hand.find(batch)
        if read is not None and read.is_read:
            self._loader.lose(batch)
        elif read is not None:
            self._log_lease("lease_gone", batch, read.range)
            self.release(batch)

    def drain(self) -> None:
        """Stop reading; batches that were read are still loaded, the others are released."""
        for read in list(self.in_hand.all):
            if not read.is_read:
                self.release(read.batch)

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self.in_hand.is_empty.wait()

    async def run(self) -> None:
        """Read batches as they are started, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._may_begin.wait()
                    self._may_begin.clear()
                    while begun := self.in_hand.next_to_read():
                        read, spec = begun
                        read.task = group.create_task(self._run(read, spec))
        finally:
            await self._sources.aclose()

    def _log_lease(self, event: str, batch: ClaimedBatch, import_range: ImportRange, **more: int) -> None:
        self._context.log.warning(event, **batch_fields(batch, import_range), fence=batch.fence, **more)

    async def _run(self, read: BatchRead, spec: ImportSpec) -> None:
        report = await self._read(read.batch, read.range, spec)
        self.in_hand.note_end(read, report)
        self._may_begin.set()
        self._loader.submit(report)
        if 2 * self.in_hand.unread <= self._unread_at_start:
            self._unread_at_start = 0
            self._on_half_read()

    async def _read(self, batch: ClaimedBatch, import_range: ImportRange, spec: ImportSpec) -> ImportReport:
        if batch.lost_leases >= LOST_LEASES_LIMIT:
            return batch_ends.report_lost(batch, import_range)
        record_type = spec.record_types[import_range.record_type_no]
        try:
            async with self._sources.open(batch.job_no, record_type.source, batch.identity_no) as source:
                rows = await source.read(import_range.range)
            return batch_ends.report_read(batch, import_range, rows, key=record_type.key, policy=spec.policy)
        except SourceError as error:
            if isinstance(error, SourceNotConfigured):
                self.skipped.add(batch.job_no)
            return batch_ends.report_unread(batch, import_range, error, policy=spec.policy)
        except Exception as error:
            self._context.log.exception("source_failed", **batch_fields(batch, import_range))
            unforeseen = SourceError(f"{UNFORESEEN} ({type(error).__name__}).")
            return batch_ends.report_unread(batch, import_range, unforeseen, policy=spec.policy)
