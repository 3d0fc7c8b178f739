"""Running batches of imports: each reads its range of its source, and what it read goes to the loader."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from db.batches import ClaimedBatch
from db.engine import connect
from db.import_settlements import BatchKey, ImportRange, ImportSettlement, read_ranges
from db.specs import load_specs
from domain.import_spec import ImportSpec
from runtime.metrics import QUEUE_WAIT
from sources.errors import UNFORESEEN, SourceError, SourceNotConfigured
from sources.opened import OpenSources
from worker import settlements
from worker.context import Context
from worker.executor import LOST_LEASES_LIMIT
from worker.leaving import LeftToOthers
from worker.load_logs import named
from worker.loader import Loader

ROOM_BATCHES = 30
"""Batches of imports in hand: those that are read while two loads of ten are under way."""
ROOM_BYTES = 64 * 1024 * 1024
"""What their rows may take of memory, about; one batch is read whatever it takes."""
UNKNOWN_BYTES = ROOM_BYTES // 4
"""What the first batch of a record type is taken to be, which is read before others of it."""
KEPT_SPECS = 100


@dataclass(slots=True, eq=False)
class _Held:
    batch: ClaimedBatch
    given: ImportRange
    spec: ImportSpec | None
    is_read: bool = False
    bytes: int = 0
    task: "asyncio.Task[None] | None" = None

    @property
    def record_type(self) -> tuple[int, int]:
        """Its job and its record type there."""
        return self.batch.job_no, self.given.record_type_no


class Importer:
    """Holds this worker's claimed batches of imports, and reads them side by side.

    `on_half_read` hears when half of what there was to read is read: more may be claimed then, while that is loaded.
    """

    def __init__(self, context: Context, loader: Loader, on_half_read: Callable[[], None]) -> None:
        self._context = context
        self._loader = loader
        self._on_half_read = on_half_read
        self._unread = 0
        self._unread_at_start = 0
        self._may_begin = asyncio.Event()
        self._row_bytes: dict[tuple[int, int], float] = {}
        self._specs: OrderedDict[int, ImportSpec] = OrderedDict()
        self._sources = OpenSources(context.open_source)
        self.left_to_others = LeftToOthers()
        self._held: dict[tuple[int, int, int, int], _Held] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def room(self) -> int:
        """How many more batches may be claimed."""
        if sum(map(self._bytes_of, self._held.values())) >= ROOM_BYTES:
            return 0
        return max(0, ROOM_BATCHES - len(self._held))

    @property
    def held(self) -> list[ClaimedBatch]:
        """The batches in hand, whose leases are this worker's to renew."""
        return [one.batch for one in self._held.values()]

    @property
    def read(self) -> list[ClaimedBatch]:
        """Those of them that were read, and wait to be written."""
        return [one.batch for one in self._held.values() if one.is_read]

    async def start(self, batches: Sequence[ClaimedBatch]) -> None:
        """Take these claimed batches in hand. One whose spec can't be read is left to its lease, and to ten."""
        ranges, specs = await self._look_up(batches)
        for batch in batches:
            given, spec = ranges[batch.job_no, batch.batch_no], specs.get(batch.job_no)
            if batch.was_lost:
                self._log_lease("lease_lost", batch, given, times=batch.lost_leases)
            if spec is None:
                self._context.log.error("spec_not_readable", **named(batch, given))
                if batch.lost_leases < LOST_LEASES_LIMIT:
                    continue
                self._held[batch.key] = _Held(batch, given, spec, is_read=True)
                self._empty.clear()
                self._loader.submit(settlements.lost(batch, given))
                continue
            self._held[batch.key] = _Held(batch, given, spec)
            self._unread += 1
            self._empty.clear()
            self._context.histograms[QUEUE_WAIT].observe(batch.waited_seconds)
        self._unread_at_start = self._unread
        self._may_begin.set()

    def release(self, batch: ClaimedBatch) -> None:
        """Let go of a batch whose end is recorded, or whose lease is lost: reading it is given up."""
        held = self._held.pop(batch.key, None)
        if held is not None and not held.is_read:
            self._unread -= 1
            if held.task is not None:
                held.task.cancel()
        self._may_begin.set()
        if not self._held:
            self._empty.set()

    def lose(self, batch: ClaimedBatch) -> None:
        """Let go of a batch whose lease is gone; if it was read to the end, the loader does that."""
        held = self._held.get(batch.key)
        if held is not None and held.is_read:
            self._loader.lose(batch)
        elif held is not None:
            self._log_lease("lease_gone", batch, held.given)
            self.release(batch)

    def drain(self) -> None:
        """Read nothing more; what was read is still loaded, the rest is handed back."""
        for one in list(self._held.values()):
            if not one.is_read:
                self.release(one.batch)

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()

    async def run(self) -> None:
        """Read batches as they are started, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._may_begin.wait()
                    self._may_begin.clear()
                    while begun := self._next_to_read():
                        held, spec = begun
                        held.task = group.create_task(self._run(held, spec))
        finally:
            await self._sources.aclose()

    def _log_lease(self, event: str, batch: ClaimedBatch, given: ImportRange, **more: int) -> None:
        self._context.log.warning(event, **named(batch, given), fence=batch.fence, **more)

    def _next_to_read(self) -> tuple[_Held, ImportSpec] | None:
        """Return the first batch that isn't begun, with its spec, if there is memory for it.

        Passed over are those of a record type whose first batch is being read: how wide its rows are isn't known yet.
        """
        begun = [one for one in self._held.values() if one.task is not None or one.is_read]
        unknown = {one.record_type for one in begun if not one.is_read} - self._row_bytes.keys()
        for one in self._held.values():
            if one.spec is not None and one not in begun and one.record_type not in unknown:
                fits = sum(map(self._bytes_of, (*begun, one))) <= ROOM_BYTES
                return (one, one.spec) if fits or not begun else None
        return None

    def _bytes_of(self, held: _Held) -> float:
        """Return what its rows take, or are expected to."""
        if held.is_read:
            return held.bytes
        row_bytes = self._row_bytes.get(held.record_type)
        return UNKNOWN_BYTES if row_bytes is None else row_bytes * held.given.rows_expected

    def _learn(self, held: _Held, settlement: ImportSettlement) -> None:
        """Expect the widest rows of a record type that there were."""
        held.bytes = settlement.memory_bytes
        if settlement.records:
            row_bytes = held.bytes / len(settlement.records)
            self._row_bytes[held.record_type] = max(row_bytes, self._row_bytes.get(held.record_type, 0))

    async def _look_up(
        self, batches: Sequence[ClaimedBatch]
    ) -> tuple[Mapping[BatchKey, ImportRange], Mapping[int, ImportSpec]]:
        wanted = {one.job_no for one in batches}
        found = {job_no: self._specs[job_no] for job_no in wanted if job_no in self._specs}
        async with connect(self._context.engine) as connection:
            ranges = await read_ranges(connection, batches)
            missing = sorted(wanted - found.keys())
            stored = await load_specs(connection, missing) if missing else {}
        for job_no, spec in stored.items():
            with suppress(LookupError, ValueError, TypeError, AttributeError):  # another version stored it
                found[job_no] = self._specs[job_no] = ImportSpec.from_json(spec)
        while len(self._specs) > KEPT_SPECS:
            self._specs.popitem(last=False)
        self._row_bytes = {key: width for key, width in self._row_bytes.items() if key[0] in self._specs}
        return ranges, found

    async def _run(self, held: _Held, spec: ImportSpec) -> None:
        settlement = await self._settle(held.batch, held.given, spec)
        held.is_read = True
        self._learn(held, settlement)
        self._may_begin.set()
        self._unread -= 1
        self._loader.submit(settlement)
        if 2 * self._unread <= self._unread_at_start:
            self._unread_at_start = 0
            self._on_half_read()

    async def _settle(self, batch: ClaimedBatch, given: ImportRange, spec: ImportSpec) -> ImportSettlement:
        if batch.lost_leases >= LOST_LEASES_LIMIT:
            return settlements.lost(batch, given)
        record_type = spec.record_types[given.record_type_no]
        try:
            async with self._sources.open(batch.job_no, record_type.source, batch.identity_no) as source:
                rows = await source.read(given.range)
            return settlements.read(batch, given, rows, key=record_type.key, policy=spec.policy)
        except SourceError as error:
            if isinstance(error, SourceNotConfigured):
                self.left_to_others.leave(batch.job_no)
            return settlements.unread(batch, given, error, policy=spec.policy)
        except Exception as error:
            self._context.log.exception("source_failed", **named(batch, given))
            unforeseen = SourceError(f"{UNFORESEEN} ({type(error).__name__}).")
            return settlements.unread(batch, given, unforeseen, policy=spec.policy)
