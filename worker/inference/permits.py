"""Permits of this worker's batches, for concurrent calls or for held cells without calls. No I/O.

The claim that takes or grows a batch stores its permits in the batch's row, so that limits hold over all workers. Each
report of the batch has the number of permits released since the last report.
"""

from typing import NamedTuple


class Released(NamedTuple):
    """The permits in a report: how many the batch released, and whether it has none any more."""

    permits: int
    is_last: bool


class Permits:
    """All permits of a sort in this worker. `in_use` may exceed `limit`, which bounds claims only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_use = 0

    @property
    def available(self) -> int:
        """How many more may be claimed."""
        return max(0, self._limit - self.in_use)

    def acquire(self, count: int) -> "BatchPermits":
        """Return the permits that a batch was claimed with."""
        permits = BatchPermits(self)
        permits.grow(count)
        return permits


class BatchPermits:
    """The only owner of a batch's permits, which are numbered from 0. Releasing and finishing may be repeated.

    It `is_closed`, and grows no more, once a report has released its last permit: the batch's lease ends with that
    report. It is closed, too, once it is finished.
    """

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._held: set[int] = set()
        self._granted = 0
        self._reported = 0
        self.is_closed = False

    @property
    def held(self) -> tuple[int, ...]:
        """The permits that aren't released yet."""
        return tuple(self._held)

    def grow(self, count: int) -> range:
        """Add `count` permits and return them; a closed batch gets none."""
        if self.is_closed:
            return range(0)
        added = range(self._granted, self._granted + count)
        self._granted += count
        self._permits.in_use += count
        self._held.update(added)
        return added

    def release(self, *permits: int) -> None:
        """Return these permits to the worker. The database counts them until they are reported."""
        released = self._held.intersection(permits)
        self._held -= released
        self._permits.in_use -= len(released)

    def report(self) -> Released:
        """Return the permits released since the last report; the batch is closed if none is left."""
        released = self._granted - len(self._held)
        fresh, self._reported = released - self._reported, released
        self.is_closed = self.is_closed or not self._held
        return Released(fresh, self.is_closed)

    def finish(self) -> None:
        """Release all permits: this worker doesn't hold the batch any more, even if calls still run."""
        self.release(*self._held)
        self.is_closed = True
