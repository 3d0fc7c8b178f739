"""The interface of sources: list the columns, count the rows, cut them into ranges once, and read a range."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from domain.key_forms import KeyForm

RANGE_ROWS = 10_000


def max_range_rows(batch_size: int) -> int:
    """Return how many rows a range may hold at most: equal keys stay together, and a worker's memory is limited."""
    return max(RANGE_ROWS, 2 * batch_size)


@dataclass(frozen=True, slots=True)
class SourceRange:
    """A part of a source's rows. `range` is a small JSON object by which any worker can later read the same rows."""

    range: Mapping[str, Any]
    rows: int


@dataclass(frozen=True, slots=True)
class Survey:
    """All rows of a source at one moment, cut into ranges without a gap and without an overlap.

    `rows` counts all rows of the source; it equals the sum over the ranges only if the survey `is_complete`. `detail`
    explains, with numbers, which rows can't be read or why reading will be slow. `key_forms` hold the possible
    spellings of each part of the key, if known.
    """

    rows: int
    ranges: Sequence[SourceRange]
    is_complete: bool = True
    detail: str | None = None
    key_forms: Sequence[KeyForm] = ()


class SourceRow(NamedTuple):
    """One row. `position` counts from 0 over the whole source, in the order of the survey.

    `payload` holds JSON values only. A row with a `defect` is to be rejected for that reason; its payload then lacks
    the values that JSON or the database can't hold, or is empty where nothing could be read. A row that `is_repeated`
    has the key of an earlier one, which may lie in another range; within one range repeated keys needn't be marked.
    `line` is where it stands in a file of lines, from 1, if that is known.
    """

    position: int
    payload: dict[str, Any]
    defect: str | None = None
    is_repeated: bool = False
    line: int | None = None


class Source(Protocol):
    """Rows of one record type. Every method may be cancelled at any moment, and none blocks the event loop.

    All raise SourceError, whose code, detail and `retryable` describe the failure.
    """

    @property
    def survey_permit(self) -> AbstractAsyncContextManager[object]:
        """A permit to hold while `ranges` runs; waiting for the permit doesn't count as time of the survey."""
        ...

    async def columns(self) -> tuple[str, ...]:
        """Return the column names of the source's rows."""
        ...

    async def count(self) -> int:
        """Return how many rows there are; may take minutes."""
        ...

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Count the rows and cut them into ranges of about `batch_size` rows, both over one snapshot.

        Rows that share a key lie in one range, or all but the first that can be taken are read as `is_repeated`; only
        where rows are cut by position in a service that gives no other order, neither holds. Raises UnknownColumn for a
        key that the source lacks.
        """
        ...

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range that a survey gave; the cost doesn't depend on the range's position."""
        ...

    async def aclose(self) -> None:
        """Close the resources that only this source uses."""
        ...
