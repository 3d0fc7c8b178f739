"""A job as it is shown: in a list, and alone with its spec."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, SerializerFunctionWrapHandler, field_serializer

from api.paging import Listed
from api.schemas.actions import Action
from api.schemas.import_progress import ImportProgress
from api.schemas.kinds import Kind
from api.schemas.submissions import NormalizationNote, PlannedCounts, PlannedImportCounts
from db.import_progress import ImportRead
from db.job_filters import SUCCESS_RATE_MISSED
from db.jobs import MAX_COUNTED_BEFORE, Counts, JobListed, JobRead
from domain.status import TERMINAL_JOB_STATUSES, JobStatus
from domain.waves import level_by_id
from submissions.job_links import job_links

_INCOMPLETE = "Executions whose `is_complete` is false: their answer was cut or filtered, or is a refusal."


class Progress(BaseModel):
    """Cells by state, of one moment. `planned` is the total and the sum of the others."""

    planned: int
    pending: int = Field(description="Not running yet; these executions are `planned`.")
    running: int = Field(description="Without a result, in a batch that a worker holds.")
    completed: int
    failed: int
    cancelled: int
    unknown: int = Field(description="Ended ambiguously and must not be asked again; for a person to resolve.")

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Return the progress with these counts."""
        return cls.model_validate(counts, from_attributes=True)


class JobError(BaseModel):
    """Why a job failed: it could not be planned, or too few of its cells succeeded."""

    code: str
    detail: str

    @classmethod
    def of(cls, job: JobRead) -> Self | None:
        """Return the error that was stored with the job, else the error that its counts show."""
        if job.error_code is not None:
            return cls(code=job.error_code, detail=job.error_detail or "")
        if job.status != JobStatus.FAILED or not job.failed:
            return None
        missed = f"{job.failed} of {job.planned} executions failed"
        if job.spec is None or "policy" not in job.spec:
            return cls(code=SUCCESS_RATE_MISSED, detail=f"{missed}; min_success_rate was missed.")
        rate = job.spec["policy"]["min_success_rate"]
        return cls(code=SUCCESS_RATE_MISSED, detail=f"{missed}; min_success_rate is {rate:g}.")


class QueuePlace(BaseModel):
    """Where a job waits of which nothing has begun."""

    position: int | None = Field(
        description="1 is planned next; null past 10,000, and once it is planned and waits for its cells to be taken."
    )
    waited_seconds: float = Field(
        description="Since `queued_at`, as of this answer. It runs on: no change of it makes another `ETag`."
    )

    @classmethod
    def of(cls, job: JobRead) -> Self | None:
        """Return the place of a job that waits; None for a job that has begun or ended."""
        if not job.is_waiting:
            return None
        before = job.queued_before
        position = None if before is None or before >= MAX_COUNTED_BEFORE else before + 1
        return cls(position=position, waited_seconds=job.seconds_since_queued)


class Held(BaseModel):
    """Why nothing of a job may start."""

    reason: Literal["region_paused", "provider_paused", "gate_closed", "configuration_changed", "other_import"]
    since: datetime
    detail: str = Field(description="Why it is held, and when it goes on.")
    action: Action | None = Field(default=None, description="What a person may do about it, with the scope `operate`.")
    _for_tenants: str | None = PrivateAttr(default=None)

    def with_words_for_tenants(self, detail: str) -> Self:
        """Return it with the detail that it has without the scope `operate`."""
        self._for_tenants = detail
        return self

    def for_tenants(self) -> Self:
        """Return it without who paused something and why, which only the scope `operate` shows."""
        return self.model_copy(update={"detail": self._for_tenants or self.detail})

    @classmethod
    def by_configuration(cls, job: JobRead) -> Self | None:
        """Return the hold of a job whose providers or sources aren't configured any more; None if it isn't held."""
        if job.held_since is None:
            return None
        named = ", ".join(job.held_by or ()) or "what it asks for"
        return cls(
            reason="configuration_changed",
            since=job.held_since,
            detail=f"It was accepted under another configuration of {named}. It goes on when that is configured again, "
            "or is accepted anew: `breakwater config apply FILE --move-jobs`. Or cancel it.",
        )

    @classmethod
    def by_import(cls, import_: ImportProgress | None) -> Self | None:
        """Return the hold of an import that waits for another import of its record type; None if it doesn't wait."""
        other = import_.coordination.waits_for if import_ and import_.coordination else None
        if other is None:
            return None
        about = f"Job {other.job_id} imports record type {other.record_type} too. This one begins when that"
        ends = "is planned, since sources are pinned one at a time."
        if other.until == "ended":
            ends = "has ended or is cancelled, since a source that is no file is read by one import at a time."
        return cls(reason="other_import", since=other.since, detail=f"{about} {ends}")


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    kind: Kind
    name: str
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    incomplete: int = Field(description=_INCOMPLETE)
    links: dict[str, str]

    @classmethod
    def of(cls, job: JobListed, parts: Sequence[str]) -> Self:
        """Return the job as a list shows it; `parts` are the links that its kind adds."""
        return cls(
            id=job.id,
            kind=Kind(job.kind),
            name=job.name,
            status=JobStatus(job.status),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            progress=Progress.of(job.counts),
            incomplete=job.incomplete,
            links=job_links(job.id, parts),
        )


class JobList(Listed[JobSummary]):
    """Jobs, newest first."""


class Job(BaseModel):
    """A job with its spec and its progress."""

    id: str
    kind: Kind
    name: str
    status: JobStatus
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None = Field(description="When it was planned.")
    first_started_at: datetime | None = Field(
        description="When a worker first took up cells of it: from `queued_at` to here it waited, from here on it runs."
    )
    finished_at: datetime | None
    held: Held | None = Field(
        description="What holds all of its open work; null while anything of it may start, and once it ended."
    )
    queue: QueuePlace | None = Field(description="Its wait so far; null once anything of it has begun, or it ended.")
    spec_hash: str = Field(description="The hash of its content; two specs with the same hash are the same work.")
    simulated: bool = Field(description="Whether the built-in `echo` answers for any of it in place of a provider.")
    spec: dict[str, Any] | None = Field(description="As it runs; null once purged.")
    submitted: Any = Field(description="The body as it came; null once purged.")
    normalization: list[NormalizationNote] = Field(description="What was understood differently from how it came.")
    planned: PlannedCounts | PlannedImportCounts
    progress: Progress = Field(description="Of an import, its batches are counted.")
    import_progress: ImportProgress | None = Field(description="Of an import: rows, waves, record types.")
    incomplete: int = Field(description=_INCOMPLETE)
    times_seen: int = Field(description="How often it was submitted: created, joined and replayed.")
    error: JobError | None
    links: dict[str, str]

    @field_serializer("normalization", mode="wrap")
    def _leave_out_absent(self, notes: list[NormalizationNote], shown: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a type would hide the notes' schema
        return [{name: value for name, value in note.items() if value is not None} for note in shown(notes)]

    @classmethod
    def of(
        cls, job: JobRead, parts: Sequence[str], import_: ImportRead | None = None, *, held: Held | None = None
    ) -> Self:
        """Return the job as it is shown alone; `parts` as in a list, `import_` is the progress of an import.

        It has neither spec nor body: `api/shown_specs.py` adds them, without secrets.
        """
        progress = None if import_ is None else _progress(job, import_)
        return cls(
            id=job.id,
            kind=Kind(job.kind),
            name=job.name,
            status=JobStatus(job.status),
            created_at=job.created_at,
            queued_at=job.queued_at,
            started_at=job.started_at,
            first_started_at=job.first_started_at,
            finished_at=job.finished_at,
            held=Held.by_configuration(job) or Held.by_import(progress) or held,
            queue=QueuePlace.of(job),
            spec_hash=job.spec_hash,
            simulated=job.simulated,
            spec=None,
            submitted=None,
            normalization=[NormalizationNote.model_validate(note) for note in job.normalization or ()],
            planned=_planned(job, import_),
            progress=Progress.of(job.counts),
            import_progress=progress,
            incomplete=job.incomplete,
            times_seen=job.times_seen,
            error=JobError.of(job),
            links=job_links(job.id, parts),
        )


def _progress(job: JobRead, import_: ImportRead) -> ImportProgress:
    return ImportProgress.of(import_, is_terminal=job.status in TERMINAL_JOB_STATUSES)


def _planned(job: JobRead, import_: ImportRead | None) -> PlannedCounts | PlannedImportCounts:
    if import_ is None:
        return PlannedCounts(models=job.models, regions=job.regions, questions=job.questions, executions=job.planned)
    types = job.spec["record_types"] if job.spec else import_.record_types
    is_planned = bool(import_.record_types)
    return PlannedImportCounts(
        record_types=len(types),
        levels=1 + max((each.level for each in import_.record_types), default=-1) if is_planned else _levels(types),
        waves=import_.coordination.waves if is_planned and import_.coordination else None,
        batches=job.planned if is_planned else None,
        rows=import_.rows_expected if is_planned else None,
    )


def _levels(record_types: Sequence[Any]) -> int:
    """Return how many levels the record types of a stored spec have."""
    return 1 + max(level_by_id({each["id"]: each["depends_on"] for each in record_types}).values(), default=-1)
