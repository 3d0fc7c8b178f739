"""The content of a staged file, and where its rows stand among the records of the file, malformed ones included."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sources.values import Kind


class Malformed(NamedTuple):
    """A record that made no sense: its position among all of the file, its line (from 1) if that is known, and why."""

    position: int
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a staged file: `rows` in Parquet, and the records that made no sense, in their order.

    With `holds_documents` the only stored column is the text of a JSON document per row, null where that is no text,
    and `columns` are the names of its members; there are others if it `has_more_columns`. `blank_lines` holds for each
    blank line between documents how many of them stand before it; None where that isn't known, or where a record may
    take several lines.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: int
    malformed: tuple[Malformed, ...] = ()
    holds_documents: bool = False
    has_more_columns: bool = False
    blank_lines: tuple[int, ...] | None = None

    @property
    def records(self) -> int:
        """How many records there are, malformed ones included."""
        return self.rows + len(self.malformed)

    def malformed_between(self, first: int, before: int) -> Sequence[Malformed]:
        """Return the malformed records of which the positions are in `[first, before)`."""
        return self.malformed[self._malformed_before(first) : self._malformed_before(before)]

    def rows_before(self, position: int) -> int:
        """Return how many rows stand before a position: the row number of the first that doesn't."""
        return position - self._malformed_before(position)

    def positions(self, row_numbers: Iterable[int]) -> Iterable[int]:
        """Yield the positions of rows that are given by their numbers in Parquet, which ascend."""
        return self._shifted(row_numbers) if self.malformed else row_numbers

    def line(self, position: int) -> int | None:
        """Return the line, from 1, that a document stands in; None where lines aren't known."""
        if self.blank_lines is None:
            return None
        return position + 1 + bisect_right(self.blank_lines, position)

    def _malformed_before(self, position: int) -> int:
        return bisect_left(self.malformed, position, key=lambda malformed: malformed.position)

    def _shifted(self, row_numbers: Iterable[int]) -> Iterator[int]:
        earlier = 0
        for number in row_numbers:
            if not earlier:
                rows_before = range(len(self.malformed))
                earlier = bisect_right(rows_before, number, key=lambda index: self.malformed[index].position - index)
            while earlier < len(self.malformed) and self.malformed[earlier].position <= number + earlier:
                earlier += 1
            yield number + earlier
