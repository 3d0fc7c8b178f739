"""The first keys of ranges, found while a source's keys are read in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sources.key_ranges import between
from sources.protocol import SourceRange
from sources.suiteql.key import Values


@dataclass(slots=True)
class Cuts:
    """Collects the first keys of ranges while keys are read in order; equal keys stay together."""

    batch_size: int
    rows: int = 0
    last: Values | None = None
    first_row: int = 0
    """The number of the first row that has the last key."""
    starts: dict[int, Values] = field(default_factory=dict)

    def take(self, key: Values) -> None:
        """Count the next row, with its key."""
        if key != self.last:
            self.last, self.first_row = key, self.rows
        if self.rows % self.batch_size == 0:
            self.starts[self.first_row] = key
        self.rows += 1

    def ranges(self, about: Mapping[str, Any]) -> list[SourceRange]:
        """Return the ranges between the first keys; the last range includes the last key."""
        if self.last is None:
            return []
        return between(self.starts, rows=self.rows, last=self.last, about=about, named="the key")
