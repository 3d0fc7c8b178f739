"""The progress of an import: its record types, its coordinator, and the counts of its batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from db.engine import Engine, connect, statement
from db.jobs import look_up_job

NAMED_IMPORTS = 5
RECENT_SECONDS = 60.0
"""The period, back from the last end of a batch, over which the rate is taken; a night between two tries doesn't
count."""


@dataclass(frozen=True, slots=True)
class RecordTypeRead:
    """A record type of a coordinated import. Rows count once their batch has ended.

    `rows_open` are still to be read; `rows_gone` were counted but missing when read; `recent_rows` were read by the
    batches that ended within RECENT_SECONDS of the last end. `superseded_by` names newer imports of it, the oldest
    first, if one kept rows from being written.
    """

    id: str
    generation: int
    level: int
    rows_expected: int
    is_complete: bool
    detail: str | None
    batches: int
    batches_completed: int
    batches_failed: int
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_superseded: int
    rows_rejected: int
    rows_open: int
    rows_gone: int
    recent_rows: int
    recent_started_at: datetime | None
    last_finished_at: datetime | None
    superseded_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class CoordinationRead:
    """The coordinator of an import, while its lease runs (`lease_until`), and the waves once it is coordinated.

    The error is that of the last failed try, until the import is coordinated. It may wait for the job `waits_for_id`,
    since `waiting_since`.
    """

    fence: int
    attempts: int
    lease_until: datetime | None
    heartbeat_at: datetime | None
    not_before: datetime | None
    error_code: str | None
    error_detail: str | None
    away_since: datetime | None
    worker: str | None
    waits_for_id: str | None
    waits_for_type: str | None
    waits_for_end: bool | None
    waiting_since: datetime | None
    waves: int
    running_wave_no: int | None


@dataclass(frozen=True, slots=True)
class ImportRead:
    """The progress of an import; `coordination` is None before any worker took it."""

    coordination: CoordinationRead | None
    record_types: Sequence[RecordTypeRead]

    @property
    def rows_expected(self) -> int:
        """How many rows were counted."""
        return sum(record_type.rows_expected for record_type in self.record_types)

    @property
    def rows_read(self) -> int:
        """How many rows of ended batches were read."""
        return sum(record_type.rows_read for record_type in self.record_types)

    @property
    def rows_per_second(self) -> float | None:
        """The rate of the batches that ended last, over RECENT_SECONDS at most; None before any ended."""
        started = [
            record_type.recent_started_at
            for record_type in self.record_types
            if record_type.recent_rows and record_type.recent_started_at
        ]
        ended = [record_type.last_finished_at for record_type in self.record_types if record_type.last_finished_at]
        if not started or not ended:
            return None
        seconds = (max(ended) - min(started)).total_seconds()
        return sum(record_type.recent_rows for record_type in self.record_types) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rows of open batches take at that rate."""
        rate = self.rows_per_second
        return sum(record_type.rows_open for record_type in self.record_types) / rate if rate else None


@dataclass(frozen=True, slots=True)
class ImportBatchRead:
    """The row counts of an import's batch; 0 until it has ended."""

    batch_no: int
    record_type: str
    rows_expected: int
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_superseded: int
    rows_rejected: int
    error_code: str | None
    error_detail: str | None


async def read_import(engine: Engine, job_no: int) -> ImportRead:
    """Return the progress of the import with this key."""
    async with connect(engine) as connection:
        coordination = await connection.fetchrow(statement("read_coordination"), job_no)
        rows = await connection.fetch(statement("read_import"), job_no, RECENT_SECONDS, NAMED_IMPORTS)
    return ImportRead(
        CoordinationRead(**coordination) if coordination else None, [RecordTypeRead(**row) for row in rows]
    )


async def read_import_batches(
    engine: Engine, tenant_no: int, job_id: str, batch_nos: Sequence[int]
) -> Mapping[int, ImportBatchRead]:
    """Return the row counts of a job's batches by batch_no; empty for a job that is no import."""
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        rows = await connection.fetch(statement("list_import_batches"), job_no, batch_nos)
    return {row["batch_no"]: ImportBatchRead(**row) for row in rows}
