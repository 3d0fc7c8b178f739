"""Waves, batches and the triggers of coordination as they are shown."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from api.numbers import shown
from api.paging import Listed
from db.import_progress import ImportBatchRead
from db.triggers import TriggerRead
from db.waves import BatchRead, WaveRead
from domain.sealing import Numbered
from domain.status import BatchStatus, WaveStatus

ROWS = (
    "record_type",
    "rows_expected",
    "rows_read",
    "rows_inserted",
    "rows_updated",
    "rows_unchanged",
    "rows_superseded",
    "rows_rejected",
)


class BatchCounts(BaseModel):
    """A wave's batches by state; `open` ones are pending or running."""

    total: int
    open: int
    completed: int
    failed: int
    cancelled: int


class Wave(BaseModel):
    """A stage of a job; the next one opens when this one is completed or partial."""

    wave_number: int
    level: int = Field(description="How deep in the graph of dependencies; 0 for inference.")
    status: WaveStatus
    batches: BatchCounts
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, wave: WaveRead) -> Self:
        """Return the wave as it is shown."""
        counts = BatchCounts(
            total=wave.total_batches,
            open=wave.open_batches,
            completed=wave.completed_batches,
            failed=wave.failed_batches,
            cancelled=wave.cancelled_batches,
        )
        return cls(
            wave_number=wave.wave_no,
            level=wave.level,
            status=WaveStatus(wave.status),
            batches=counts,
            created_at=wave.created_at,
            started_at=wave.started_at,
            finished_at=wave.finished_at,
        )


class WaveList(Listed[Wave]):
    """A job's waves, in order."""


class BatchError(BaseModel):
    """Why the last try of a batch failed."""

    code: str
    detail: str


class Batch(BaseModel):
    """A unit of dispatch: cells of one provider and region, or a range of source rows."""

    id: str = Field(description="Within its job.")
    batch_id: str = Field(description="The same as `id`.")
    wave_number: int
    record_type: str | None = Field(default=None, description="Of imports only, as the `rows_` members and `error`.")
    status: BatchStatus
    attempts: int = Field(description="Runs that came to an end; a lost lease is none.")
    provider: str | None = Field(
        description="The provider that is asked, by its name in `GET /providers`: `echo` where it stands in for the "
        "provider of the spec (an execution's `provider`). Null for an import."
    )
    region: str | None
    cells: int
    open_cells: int
    rows_expected: int | None = None
    rows_read: int | None = None
    rows_inserted: int | None = None
    rows_updated: int | None = None
    rows_unchanged: int | None = None
    rows_superseded: int | None = Field(
        default=None, description="Not written: a newer import had written the record otherwise."
    )
    rows_rejected: int | None = None
    error: BatchError | None = None
    fence: int = Field(description="Rises with every claim; a worker with an older one can't write any more.")
    lease_until: datetime | None = Field(description="While running; past it, another worker may take over.")
    lost_leases: int = Field(description="Taken over in a row without a result; the tenth time its cells fail.")
    not_before: datetime | None = Field(description="When it is due again after a failed try.")
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, batch: BatchRead, read: ImportBatchRead | None = None) -> Self:
        """Return the batch as it is shown; `read` are the counts of an import's batch."""
        counts = {name: getattr(read, name) for name in ROWS} if read else {}
        error = BatchError(code=read.error_code, detail=read.error_detail or "") if read and read.error_code else None
        return cls(
            **counts,
            error=error,
            id=str(batch.batch_no),
            batch_id=str(batch.batch_no),
            wave_number=batch.wave_no,
            status=BatchStatus(batch.status),
            attempts=batch.attempts,
            provider=None if read else batch.provider,
            region=None if read else batch.region,
            cells=batch.cells,
            open_cells=batch.open_cells,
            fence=batch.fence,
            lease_until=batch.lease_until,
            lost_leases=batch.lost_leases,
            not_before=batch.not_before,
            created_at=batch.created_at,
            queued_at=batch.queued_at,
            started_at=batch.started_at,
            finished_at=batch.finished_at,
        )


class BatchList(Listed[Batch]):
    """A wave's batches, in order."""


class Trigger(BaseModel):
    """Something that asked for a job's coordination."""

    id: int
    source: Literal["initial", "fallback", "retry", "manual"]
    outcome: Literal["won", "joined", "fenced", "failed"] | None = Field(
        description="`won` made the waves, `joined` found them there; null while the job waits to be planned."
    )
    fence: int | None
    worker: str | None = Field(description="The process that settled it.")
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, trigger: TriggerRead) -> Self:
        """Return the trigger as it is shown."""
        members = {name: getattr(trigger, name) for name in cls.model_fields if name != "id"}
        return cls.model_validate({**members, "id": shown(Numbered.TRIGGER, trigger.trigger_no)})


class TriggerList(Listed[Trigger]):
    """A job's triggers, oldest first."""


class ManualTrigger(BaseModel):
    """A manual trigger, and the first 200 waves that there are; none while coordination is still to come."""

    trigger: Trigger
    waves: list[Wave]
