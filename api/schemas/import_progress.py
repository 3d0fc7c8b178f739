"""The progress of an import, as its job shows it."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from db.import_progress import CoordinationRead, ImportRead, RecordTypeRead


class RowCounts(BaseModel):
    """Rows of ended batches by outcome; a failed batch writes none of the rows that it read."""

    expected: int = Field(description="As coordination counted them.")
    read: int = Field(description="Written, unchanged, superseded or rejected, and those of failed batches.")
    inserted: int
    updated: int
    unchanged: int
    superseded: int = Field(description="Not written: a newer import had written the record otherwise.")
    rejected: int


class RecordTypeProgress(BaseModel):
    """How far a record type is."""

    id: str
    generation: int = Field(
        description="Its number among the imports of this record type of the dataset, given one at a time in the order"
        " in which their sources were pinned. A record never goes back to a lower one."
    )
    superseded_by: list[str] = Field(description="If rows were superseded: the jobs of newer imports, the first five.")
    level: int = Field(description="How deep in the graph of dependencies.")
    batches: int
    batches_completed: int
    batches_failed: int
    rows: RowCounts
    is_complete: bool = Field(
        description="Whether all that there was to read can be read, or was; if not, the job ends `partial`."
    )
    detail: str | None = Field(
        description="What coordination found out about its source, and why it isn't complete: with numbers."
    )


class WaitsFor(BaseModel):
    """Another import of the same record type, which this one waits for."""

    job_id: str
    record_type: str
    until: Literal["planned", "ended"] = Field(
        description="`planned` where sources are pinned one import at a time; `ended` where one of the two sources is"
        " no file, as its rows are read until then."
    )
    since: datetime


class CoordinationError(BaseModel):
    """Why a try to coordinate it failed."""

    code: str
    detail: str


class CoordinationState(BaseModel):
    """The worker that coordinates the import at this moment."""

    fence: int = Field(
        description="Rises with every worker that begins it; a worker with an older one can't write. 0 before the "
        "first."
    )
    waits_for: WaitsFor | None = Field(description="The import that is to be planned, or to end, before this begins.")
    worker: str | None
    heartbeat_at: datetime | None
    lease_until: datetime | None
    failed_tries: int
    not_before: datetime | None = Field(description="When it is tried again after a failed try.")
    error: CoordinationError | None = Field(description="Of the last try that failed, until the import is planned.")
    away_since: datetime | None = Field(
        description="Since when a source is away, if the last try found it so; for five minutes such tries don't count."
    )


class ImportProgress(BaseModel):
    """How far an import is, in all and by record type. Rows count once their batch has ended."""

    coordination: CoordinationState | None = Field(description="Null until a worker first looked at it.")
    waves: int
    running_wave: int | None
    rows: RowCounts
    rows_per_second: float | None = Field(
        description="Of the batches that ended last, over a minute at most; null before any has."
    )
    seconds_left: float | None = Field(
        description="What is still to be read, at that rate; null once the job has ended."
    )
    record_types: list[RecordTypeProgress]

    @classmethod
    def of(cls, read: ImportRead, *, is_terminal: bool) -> Self:
        """Return the progress as it is shown, of a job that has ended or hasn't."""
        seconds_left = None if is_terminal else read.seconds_left
        types = [
            RecordTypeProgress(
                id=read_type.id,
                generation=read_type.generation,
                superseded_by=list(read_type.superseded_by),
                level=read_type.level,
                batches=read_type.batches,
                batches_completed=read_type.batches_completed,
                batches_failed=read_type.batches_failed,
                rows=RowCounts(
                    expected=read_type.rows_expected,
                    read=read_type.rows_read,
                    inserted=read_type.rows_inserted,
                    updated=read_type.rows_updated,
                    unchanged=read_type.rows_unchanged,
                    superseded=read_type.rows_superseded,
                    rejected=read_type.rows_rejected,
                ),
                is_complete=read_type.is_complete and not read_type.rows_gone,
                detail=_detail(read_type),
            )
            for read_type in read.record_types
        ]
        state = read.coordination
        return cls(
            coordination=None if state is None else _coordination(state),
            waves=state.waves if state else 0,
            running_wave=state.running_wave_no if state else None,
            rows=_total([each.rows for each in types]),
            rows_per_second=None if read.rows_per_second is None else round(read.rows_per_second, 1),
            seconds_left=None if seconds_left is None else round(seconds_left, 1),
            record_types=types,
        )


def _coordination(state: CoordinationRead) -> CoordinationState:
    code, detail = state.error_code, state.error_detail
    return CoordinationState(
        fence=state.fence,
        waits_for=_waits_for(state),
        worker=state.worker,
        heartbeat_at=state.heartbeat_at if state.lease_until else None,
        lease_until=state.lease_until,
        failed_tries=state.attempts,
        not_before=state.not_before,
        away_since=state.away_since,
        error=None if code is None else CoordinationError(code=code, detail=detail or ""),
    )


def _waits_for(state: CoordinationRead) -> WaitsFor | None:
    if state.waits_for_id is None or state.waits_for_type is None or state.waiting_since is None:
        return None
    return WaitsFor(
        job_id=state.waits_for_id,
        record_type=state.waits_for_type,
        until="ended" if state.waits_for_end else "planned",
        since=state.waiting_since,
    )


def _detail(read: RecordTypeRead) -> str | None:
    gone = f"{read.rows_gone} of {read.rows_expected} rows that were counted were gone when they were read."
    return " ".join(part for part in (read.detail, gone if read.rows_gone else None) if part) or None


def _total(rows: list[RowCounts]) -> RowCounts:
    return RowCounts(**{name: sum(getattr(counts, name) for counts in rows) for name in RowCounts.model_fields})
