"""The histograms that a process keeps between heartbeats."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.metrics import BUCKETS, HISTOGRAMS, Series


class Histogram:
    """A histogram without labels; `counts` are per bucket, the last above every bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count `count` observations of `value`, both in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Histograms:
    """The histograms of one process, and of any processes whose snapshots were added."""

    def __init__(self) -> None:
        self.clear()

    def __getitem__(self, series: Series) -> Histogram:
        return self._by_name[series.name]

    def clear(self) -> None:
        """Forget every observation."""
        self._by_name = {series.name: Histogram(BUCKETS[series.name]) for series in HISTOGRAMS}

    def snapshot(self) -> dict[str, Any]:
        """Return the snapshot that a heartbeat carries: counts per bucket and the sum, by name."""
        return {name: {"counts": histogram.counts, "sum": histogram.sum} for name, histogram in self._by_name.items()}

    def add(self, snapshot: Mapping[str, Any]) -> None:
        """Add another process's snapshot; a snapshot with other buckets (another version's) is left out."""
        for name, histogram in self._by_name.items():
            added = snapshot.get(name)
            if added and len(added["counts"]) == len(histogram.counts):
                histogram.counts = [sum(counts) for counts in zip(histogram.counts, added["counts"], strict=True)]
                histogram.sum += added["sum"]
