"""What a claimed batch of an import is to read, and the report of what it read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Any, NamedTuple

from db.batches import ClaimedBatch
from db.engine import Connection, statement

BatchKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ImportRange:
    """What a claimed batch is to read: `range` is its source's.

    Its rows are written as those of `generation`. `attempts` tries ended before this one; `forgiven` of them don't
    count against the policy's. `unavailable_seconds` is for how long the source was unavailable until now, None if it
    wasn't. Its records are kept by the value of their keys or else by their spelling.
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
    """A row to write: its key, its payload as JSON text, and where its source has it."""

    record_key: str
    payload: str
    position: int


class RejectedRow(NamedTuple):
    """A row that can't be taken; `position` is its source's."""

    position: int
    record_key: str | None
    code: str
    detail: str


@dataclass(slots=True)
class ImportReport:
    """The result of a claimed batch: `completed` with rows, `failed`, or to be tried again (`pending`).

    `records` hold no key twice. `rows_read` counts them, the rejected ones, and what a failed batch doesn't write.
    `record` sets what was inserted, what was known before, and what of that was updated, or superseded: written
    otherwise by a newer import, and left so. A try of a batch to be read again `is_forgiven` if it doesn't count, as
    where its source `is_unavailable`. `identity_no` is the source that was read.
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
        """What its rows take of this process's memory, about."""
        return sum(getsizeof(row.payload) for row in self.records)

    @property
    def unchanged(self) -> int:
        """How many rows were as they are."""
        return self.known - self.updated - self.superseded

    @property
    def is_short(self) -> bool:
        """Whether it ended with fewer rows than were counted."""
        return self.status == "completed" and self.rows_read < self.range.rows_expected


async def read_ranges(connection: Connection, batches: Sequence[ClaimedBatch]) -> Mapping[BatchKey, ImportRange]:
    """Return what these claimed batches are to read, by (job_no, batch_no)."""
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
