"""The content of a staged file, and the positions of its rows among all records, malformed ones included."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sources.values import Kind


class MalformedRecord(NamedTuple):
    """A malformed record: its position among all records of the file, its line (from 1) if known, and the reason."""

    position: int
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a staged file: `rows` in Parquet, and the malformed records in their order.

    With `holds_documents` there is one stored column: the text of a JSON document per row, null if it isn't valid
    UTF-8. Then `columns` are the names of its members, and it `has_more_columns` if not all are known. `blank_lines`
    holds for each blank line how many documents come before it; None if that isn't known or a record may take several
    lines.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: int
    malformed: tuple[MalformedRecord, ...] = ()
    holds_documents: bool = False
    has_more_columns: bool = False
    blank_lines: tuple[int, ...] | None = None

    @property
    def records(self) -> int:
        """How many records there are, including malformed ones."""
        return self.rows + len(self.malformed)

    def malformed_between(self, first: int, before: int) -> Sequence[MalformedRecord]:
        """Return the malformed records with positions in `[first, before)`."""
        return self.malformed[self._malformed_before(first) : self._malformed_before(before)]

    def rows_before(self, position: int) -> int:
        """Return how many rows come before a position, which is the number of the first row from there on."""
        return position - self._malformed_before(position)

    def positions(self, row_numbers: Iterable[int]) -> Iterable[int]:
        """Yield the positions of rows, given by their ascending numbers in Parquet."""
        return self._shifted(row_numbers) if self.malformed else row_numbers

    def line(self, position: int) -> int | None:
        """Return the line of a document, from 1; None if lines aren't known."""
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
