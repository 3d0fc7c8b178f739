"""Tenants, kinds, jobs, specs, submissions, triggers and events."""

from typing import Annotated, ClassVar

from sqlalchemy import ForeignKeyConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from db.tables.column_types import (
    Big,
    BigKey,
    IntKey,
    Json,
    MaybeBig,
    MaybeJson,
    MaybeNumbers,
    MaybeTime,
    MaybeWords,
    Names,
    Real,
    Small,
    Time,
    Words,
    WordsKey,
)


class Tenant(SQLModel, table=True):
    """The owner of jobs; `default` has the number 1."""

    __tablename__: ClassVar[str] = "tenants"
    __table_args__ = (UniqueConstraint("name", name="unique_tenant_name"),)

    tenant_no: IntKey
    name: Words
    created_at: Time
    requests_per_second: int | None
    active_jobs: int | None
    cells_per_day: int | None


class Kind(SQLModel, table=True):
    """A kind of jobs, and whether their progress counts cells or batches."""

    __tablename__: ClassVar[str] = "kinds"

    kind: WordsKey
    unit: Words


class Job(SQLModel, table=True):
    """One accepted spec and its kept progress."""

    __tablename__: ClassVar[str] = "jobs"
    __table_args__ = (
        UniqueConstraint("tenant_no", "id", name="unique_job_id_per_tenant"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="job_belongs_to_tenant"),
        ForeignKeyConstraint(["kind"], ["kinds.kind"], name="job_kind_is_known"),
        Index("jobs_queued_by_turn", "turn", "job_no", postgresql_where=text("status = 'queued'")),
        Index(
            "jobs_waiting_by_tenant",
            "kind",
            "tenant_no",
            "turn",
            "job_no",
            postgresql_where=text("status IN ('queued', 'coordinating')"),
        ),
        Index("jobs_active_by_hash", "tenant_no", "spec_hash", "job_no", postgresql_where=text("finished_at IS NULL")),
        Index(
            "jobs_completed_by_hash",
            "tenant_no",
            "spec_hash",
            "finished_at",
            postgresql_where=text("status IN ('completed', 'partial')"),
        ),
        Index(
            "jobs_given_up_by_hash",
            "tenant_no",
            "spec_hash",
            "finished_at",
            postgresql_where=text("status IN ('failed', 'cancelled')"),
        ),
        Index("jobs_by_name", "name", "tenant_no", "job_no", postgresql_ops={"name": "text_pattern_ops"}),
        Index("jobs_with_unknown", "tenant_no", "job_no", postgresql_where=text("unknown > 0")),
        Index("jobs_with_failed", "tenant_no", "job_no", postgresql_where=text("failed > 0")),
        Index("jobs_by_creation", "created_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
        Index("jobs_by_status", "tenant_no", "status", "job_no"),
        Index(
            "jobs_to_coordinate",
            "turn",
            "job_no",
            postgresql_where=text("kind = 'import' AND status IN ('queued', 'coordinating')"),
        ),
        Index(
            "jobs_accepted_anew",
            "job_no",
            postgresql_where=text("former_identity_nos IS NOT NULL AND finished_at IS NULL"),
        ),
        Index(
            "jobs_accepted_unconfigured",
            "job_no",
            postgresql_where=text("identity_nos IS NULL AND finished_at IS NULL"),
        ),
        Index(
            "jobs_by_overdue",
            "overdue_at",
            postgresql_where=text("status = 'queued' AND overdue_at IS NOT NULL"),
        ),
    )

    job_no: BigKey
    tenant_no: int
    id: Words
    kind: Words
    name: Words
    spec_hash: Words
    status: Words
    turn: Big
    planned: int
    completed: int
    failed: int
    cancelled: int
    unknown: int
    incomplete: int
    min_success_rate: Real
    last_event_no: int
    delivered: bool
    error_code: MaybeWords
    error_detail: MaybeWords
    created_at: Time
    queued_at: Time
    started_at: MaybeTime
    finished_at: MaybeTime
    configuration_no: int | None
    identity_nos: MaybeNumbers
    former_identity_nos: MaybeNumbers
    overdue_at: MaybeTime


class Spec(SQLModel, table=True):
    """The submitted body of a job, and its normalized spec; a pair is model_no * 256 + region_no."""

    __tablename__: ClassVar[str] = "specs"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="spec_belongs_to_job", ondelete="CASCADE"),
        Index("specs_by_hash", "tenant_no", "spec_hash", "job_no"),
        Index("specs_by_model", "model_ids", postgresql_using="gin"),
    )

    job_no: BigKey
    tenant_no: int
    name: Words
    spec_hash: Words
    model_ids: Names
    region_ids: Names
    question_ids: Names
    pairs: Annotated[list[int], Field(sa_type=ARRAY(Integer))]
    submitted: MaybeJson
    spec: MaybeJson
    normalization: MaybeJson


class IdempotencyKey(SQLModel, table=True):
    """The first answer under a key."""

    __tablename__: ClassVar[str] = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    tenant_no: IntKey
    key: WordsKey
    request: Words
    body_hash: Words
    job_no: MaybeBig
    status_code: Small
    answer: Json
    submitted: MaybeJson
    created_at: Time


class Submission(SQLModel, table=True):
    """One POST of a spec and its outcome."""

    __tablename__: ClassVar[str] = "submissions"
    __table_args__ = (
        Index("submissions_by_job", "job_no", "submission_no"),
        Index("submissions_by_time", "submitted_at"),
        Index("submissions_by_tenant", "tenant_no", "submission_no"),
        Index("submissions_without_job", "submitted_at", postgresql_where=text("job_no IS NULL")),
        Index(
            "submissions_by_sender",
            "submitted_by",
            "submission_no",
            postgresql_where=text("submitted_by IS NOT NULL"),
        ),
    )

    submission_no: BigKey
    tenant_no: int
    job_no: MaybeBig
    kind: MaybeWords
    outcome: Words
    reason: Words
    matched_on: MaybeWords
    status_code: Small
    idempotency_key: MaybeWords
    client: MaybeWords
    user_agent: MaybeWords
    request_id: Words
    submitted_at: Time
    submitted_by: MaybeWords
    session_id: MaybeWords


class Trigger(SQLModel, table=True):
    """Something that asked for a job's coordination, and its outcome."""

    __tablename__: ClassVar[str] = "triggers"
    __table_args__ = (Index("triggers_by_job", "job_no", "trigger_no"),)

    trigger_no: BigKey
    job_no: Big
    source: Words
    outcome: MaybeWords
    fence: int | None
    worker_no: int | None
    started_at: Time
    finished_at: MaybeTime


class EventType(SQLModel, table=True):
    """A type that events may have."""

    __tablename__: ClassVar[str] = "event_types"

    type: WordsKey


class JobHold(SQLModel, table=True):
    """A hold of a job, as its timeline says; `provider` and `region` are empty where it is of another thing."""

    __tablename__: ClassVar[str] = "job_holds"

    job_no: BigKey
    reason: WordsKey
    provider: WordsKey
    region: WordsKey
    since: Time


class LateEvent(SQLModel, table=True):
    """An event that gets its number once its job's row is free."""

    __tablename__: ClassVar[str] = "late_events"

    late_event_no: BigKey
    job_no: Big
    type: Words
    source: Words
    data: Json


class Event(SQLModel, table=True):
    """Something that happened to a job; numbered from 1 without gaps. `position` orders all jobs' events."""

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        Index("unique_event_position", "position", unique=True, postgresql_where=text("position IS NOT NULL")),
    )

    job_no: BigKey
    event_no: IntKey
    type: Words
    at: Time
    source: Words
    data: Json
    position: MaybeBig
