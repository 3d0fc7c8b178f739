"""Cutting the records of a staged file into ranges by number, and earlier where they take much memory."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from sources.staged.content import Content
from sources.staged.files import StagedFile

MAX_RANGE_BYTES = 16 * 1024 * 1024
"""Approximate bytes that the rows of a range may take; a single row may take more. Reading and writing them takes
several times as much: text is held decoded, as a payload's values, as the payload, and encoded for the database."""


def cut(staged: StagedFile, batch_size: int) -> Iterator[tuple[int, int]]:
    """Yield for each range its first position, and the position behind its last."""
    weights = _Weights(staged.weights)
    first = 0
    while first < staged.content.records:
        before = min(first + batch_size, staged.content.records)
        row = staged.content.rows_before(first)
        fitting = weights.rows_from(row)
        if row + fitting < staged.content.rows_before(before):
            before = _position(staged.content, row + fitting)
        yield first, before
        first = before


def _position(content: Content, row: int) -> int:
    (position,) = content.positions([row])
    return position


class _Weights:
    """The bytes that rows take, averaged over the runs that were weighed."""

    def __init__(self, runs: tuple[tuple[int, int], ...]) -> None:
        self._rows = [0, *accumulate(rows for rows, _ in runs)]
        self._bytes = [0, *accumulate(weight for _, weight in runs)]

    def rows_from(self, row: int) -> int:
        """Return how many rows from this one on may be read at once, at least one."""
        limit = self._before(row) + MAX_RANGE_BYTES
        run = bisect_right(self._bytes, limit) - 1
        if run + 1 == len(self._bytes):
            return self._rows[-1] - row
        share = (limit - self._bytes[run]) / (self._bytes[run + 1] - self._bytes[run])
        return max(1, self._rows[run] + int(share * (self._rows[run + 1] - self._rows[run])) - row)

    def _before(self, row: int) -> float:
        run = min(bisect_right(self._rows, row) - 1, len(self._rows) - 2)
        if run < 0:
            return 0
        share = (row - self._rows[run]) / (self._rows[run + 1] - self._rows[run])
        return self._bytes[run] + share * (self._bytes[run + 1] - self._bytes[run])
