"""The range that a claimed import batch reads, and the report of its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Any, NamedTuple

from db.batches import ClaimedBatch
from db.engine import Connection, statement

BatchKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ImportRange:
    """The part of a source that a claimed batch reads.

    Its rows are written with `generation`. `attempts` tries ended before this one; `forgiven` of them don't
    count against the policy. `unavailable_seconds` is how long the source has been unavailable, None if it isn't.
    Records are kept by the value of their keys, or by their spelling.
    """

    record_type_no: int
    record_set_no: int
    generation: int
    range: Mapping[str, Any]
    rows_expected: int
    attempts: int
    forgiven: int
    job_id: str
    record_type: str
    unavailable_seconds: float | None = None
    keys_by_value: bool = True


class ReadRow(NamedTuple):
    """A row to write: its key, its payload as JSON text, and its place in the source."""

    record_key: str
    payload: str
    position: int


class RejectedRow(NamedTuple):
    """A rejected row; `position` is its position in the source."""

    position: int
    record_key: str | None
    code: str
    detail: str


@dataclass(slots=True)
class ImportReport:
    """The result of a claimed batch: `completed` with rows, `failed`, or `pending` to be tried again.

    `records` hold no key twice. `rows_read` counts all rows read: records, rejects, and the unwritten rows of a failed
    batch. `record` sets the numbers of rows inserted, known before, updated, and superseded (left as a newer import
    wrote them). A try to be repeated `is_forgiven` if it doesn't count, as when its source `is_unavailable`.
    `identity_no` is the source that was read.
    """

    batch: ClaimedBatch
    range: ImportRange
    status: str
    rows_read: int = 0
    records: Sequence[ReadRow] = ()
    rejected: Sequence[RejectedRow] = ()
    max_rejects: int = 0
    max_attempts: int = 1
    error_code: str | None = None
    error_detail: str | None = None
    due_in_seconds: float = 0.0
    is_unavailable: bool = False
    is_forgiven: bool = False
    identity_no: int | None = None
    inserted: int = 0
    updated: int = 0
    superseded: int = 0
    known: int = 0

    @property
    def memory_bytes(self) -> int:
        """About how much memory its rows take in this process."""
        return sum(getsizeof(row.payload) for row in self.records)

    @property
    def unchanged(self) -> int:
        """How many rows were unchanged."""
        return self.known - self.updated - self.superseded

    @property
    def is_short(self) -> bool:
        """Whether it read fewer rows than were counted."""
        return self.status == "completed" and self.rows_read < self.range.rows_expected


async def read_ranges(connection: Connection, batches: Sequence[ClaimedBatch]) -> Mapping[BatchKey, ImportRange]:
    """Return the ranges of these claimed batches, by (job_no, batch_no)."""
    rows = await connection.fetch(
        statement("read_import_batches"), [batch.job_no for batch in batches], [batch.batch_no for batch in batches]
    )
    return {
        (row["job_no"], row["batch_no"]): ImportRange(
            row["record_type_no"],
            row["record_set_no"],
            row["generation"],
            row["range"],
            row["rows_expected"],
            row["attempts"],
            row["forgiven"],
            row["job_id"],
            row["record_type"],
            row["unavailable_seconds"],
            row["keys_by_value"],
        )
        for row in rows
    }
