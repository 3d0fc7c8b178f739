"""Where ranges begin, found while the keys of a source come by in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sources.key_ranges import between
from sources.protocol import SourceRange
from sources.suiteql.key import Values


@dataclass(slots=True)
class Cuts:
    """The keys that ranges begin with, found while keys come by in order; equal keys stay together."""

    batch_size: int
    rows: int = 0
    last: Values | None = None
    first_row: int = 0
    """The number of the first row that has the last key."""
    starts: dict[int, Values] = field(default_factory=dict)

    def take(self, key: Values) -> None:
        """Take note of the next row's key."""
        if key != self.last:
            self.last, self.first_row = key, self.rows
        if self.rows % self.batch_size == 0:
            self.starts[self.first_row] = key
        self.rows += 1

    def ranges(self, about: Mapping[str, Any]) -> list[SourceRange]:
        """Return the ranges between the starts; the last goes through the last key."""
        if self.last is None:
            return []
        return between(self.starts, rows=self.rows, last=self.last, about=about, named="the key")
