"""The inference batches that this worker holds, and its remaining room."""

import asyncio
from collections.abc import Collection

from db.batches import ClaimedBatch
from domain.spec import JobSpec
from worker.context import Context
from worker.inference.permits import Permits
from worker.inference.runs import BatchRun

INSTANT_CELLS = 4_000
"""The cells without calls that a worker may hold: enough for several flushes, few enough to share work."""


class RunsInHand:
    """Holds batches from their claim until their end is recorded or their lease is lost.

    `has_room` is set while more may be claimed, `is_empty` while none is held.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls = Permits(context.concurrency)
        self._cells = Permits(INSTANT_CELLS)
        self._run_by_lease: dict[tuple[int, int, int, int], BatchRun] = {}
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_empty = asyncio.Event()
        self.is_empty.set()

    @property
    def runs(self) -> Collection[BatchRun]:
        """The batches, oldest first."""
        return self._run_by_lease.values()

    @property
    def room_for_cells(self) -> int:
        """How many more cells without calls may be claimed; 0 if this worker serves no such provider."""
        return self._cells.available if self._context.serving.instant else 0

    @property
    def room_for_calls(self) -> int:
        """How many more calls may be in flight in this worker; 0 if no provider makes calls."""
        return self._calls.available if self._context.serving.called else 0

    @property
    def permits(self) -> int:
        """How many permits are in use, for calls and for cells."""
        return self._calls.in_use + self._cells.in_use

    def find(self, batch: ClaimedBatch) -> BatchRun | None:
        """Return the run of a batch if it is in hand under this lease."""
        return self._run_by_lease.get(batch.key)

    def take(self, batch: ClaimedBatch, spec: JobSpec) -> BatchRun:
        """Take a claimed batch in hand, with the permits of its claim, or a permit per cell if it makes no calls."""
        permits = self._calls.acquire(batch.permits) if batch.permits else self._cells.acquire(len(batch.model_nos))
        run = BatchRun(batch, spec, self._context.provider_of(batch.identity_no), permits)
        self._run_by_lease[batch.key] = run
        self.update_room()
        return run

    def drop(self, batch: ClaimedBatch) -> None:
        """Release a batch and stop its calls. Repeating it changes nothing."""
        run = self._run_by_lease.pop(batch.key, None)
        if run is not None:
            run.permits.finish()
            for task in run.tasks:
                task.cancel()
            self.update_room()

    def update_room(self) -> None:
        """Update the events; call this after each change of permits or configuration."""
        if self._run_by_lease:
            self.is_empty.clear()
        else:
            self.is_empty.set()
        if self.room_for_cells or self.room_for_calls:
            self.has_room.set()
        else:
            self.has_room.clear()
