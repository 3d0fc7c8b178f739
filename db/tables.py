"""The tables as SQLModel classes, for reads; a test compares them with what the migrations made.

Nothing is created from here, and no relationship is declared: what a read touches stands in the read.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

Big = Annotated[int, Field(sa_type=BigInteger)]
Small = Annotated[int, Field(sa_type=SmallInteger)]
Words = Annotated[str, Field(sa_type=Text)]
Real = Annotated[float, Field(sa_type=Double)]
Time = Annotated[datetime, Field(sa_type=DateTime(timezone=True))]
MaybeNumbers = Annotated[list[int] | None, Field(sa_type=ARRAY(Integer), nullable=True)]
Numbers = Annotated[list[int], Field(sa_type=ARRAY(Integer))]
Names = Annotated[list[str], Field(sa_type=ARRAY(Text))]
MaybeBig = Annotated[int | None, Field(sa_type=BigInteger)]
MaybeSmall = Annotated[int | None, Field(sa_type=SmallInteger)]
MaybeWords = Annotated[str | None, Field(sa_type=Text)]
MaybeTime = Annotated[datetime | None, Field(sa_type=DateTime(timezone=True))]
Json = Annotated[Any, Field(sa_type=JSON, nullable=False)]
MaybeJson = Annotated[Any, Field(sa_type=JSON, nullable=True)]
BigKey = Annotated[int, Field(sa_type=BigInteger, primary_key=True)]
IntKey = Annotated[int, Field(sa_type=Integer, primary_key=True)]
SmallKey = Annotated[int, Field(sa_type=SmallInteger, primary_key=True)]
WordsKey = Annotated[str, Field(sa_type=Text, primary_key=True)]


class Tenant(SQLModel, table=True):
    """Whose work it is; `default` has the number 1."""

    __tablename__: ClassVar[str] = "tenants"
    __table_args__ = (UniqueConstraint("name", name="unique_tenant_name"),)

    tenant_no: IntKey
    name: Words


class Job(SQLModel, table=True):
    """One accepted spec and its kept progress."""

    __tablename__: ClassVar[str] = "jobs"
    __table_args__ = (
        UniqueConstraint("tenant_no", "id", name="unique_job_id_per_tenant"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="job_belongs_to_tenant"),
        Index("jobs_queued_by_turn", "turn", "job_no", postgresql_where=text("status = 'queued'")),
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


class Spec(SQLModel, table=True):
    """What a job was asked and what it will run; a pair is model_no * 256 + region_no."""

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
    """One POST of a spec and what it came to."""

    __tablename__: ClassVar[str] = "submissions"
    __table_args__ = (Index("submissions_by_job", "job_no", "submission_no"),)

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


class Trigger(SQLModel, table=True):
    """Something that asked for a job's coordination, and what it came to."""

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


class Wave(SQLModel, table=True):
    """A numbered stage of a job."""

    __tablename__: ClassVar[str] = "waves"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="wave_belongs_to_job", ondelete="CASCADE"),
        Index("unique_running_wave", "job_no", unique=True, postgresql_where=text("status = 'running'")),
    )

    job_no: BigKey
    wave_no: IntKey
    level: int
    status: Words
    total_batches: int
    open_batches: int
    failed_batches: int
    created_at: Time
    started_at: MaybeTime
    finished_at: MaybeTime
    partial_batches: int
    first_batch_no: int | None


class StoredIdentity(SQLModel, table=True):
    """What makes something that is called or read what it is."""

    __tablename__: ClassVar[str] = "identities"
    __table_args__ = (UniqueConstraint("kind", "name", "region", "digest", name="unique_identity"),)

    identity_no: IntKey
    kind: Words
    name: Words
    region: Words
    content: Words
    digest: Words
    is_simulated: bool


class StoredConfiguration(SQLModel, table=True):
    """A configuration that was applied; the one with the highest number is in force."""

    __tablename__: ClassVar[str] = "configurations"

    configuration_no: IntKey
    content: Json
    is_simulated: bool
    identity_nos: Numbers
    applied_at: Time
    applied_by: Words


class Batch(SQLModel, table=True):
    """A unit of dispatch, lease and fence: cells of one provider and region."""

    __tablename__: ClassVar[str] = "batches"
    __table_args__ = (
        Index("batches_running", "job_no", "batch_no", postgresql_where=text("status = 'running'")),
        Index("batches_with_slots", "provider", "region", postgresql_where=text("slots > 0")),
        Index("batches_of_a_job_with_slots", "job_no", postgresql_where=text("slots > 0")),
        Index("batches_by_overdue", "overdue_at", postgresql_where=text("overdue_at IS NOT NULL")),
    )

    job_no: BigKey
    batch_no: IntKey
    wave_no: int
    next_batch_no: int | None
    provider: Words
    region: Words
    region_no: Small
    first_model_no: Small
    first_question_no: Small
    last_model_no: Small
    last_question_no: Small
    cells: int
    open_cells: int
    status: Words
    attempts: int
    turn: Big
    fence: int
    holder: MaybeBig
    worker_no: int | None
    lease_until: MaybeTime
    lost_leases: Small
    not_before: MaybeTime
    created_at: Time
    queued_at: MaybeTime
    started_at: MaybeTime
    finished_at: MaybeTime
    slots: int
    is_probe: bool
    overdue_at: MaybeTime
    identity_no: int | None


class Ready(SQLModel, table=True):
    """What is due, and whose turn it is: a hint, the batch's own row decides."""

    __tablename__: ClassVar[str] = "ready"
    __table_args__ = (
        Index("ready_by_turn", "provider", "region", "turn", "job_no", "batch_no"),
        Index("ready_by_identity", "identity_no", "turn", "job_no", "batch_no"),
        Index("ready_by_time", "not_before"),
        ForeignKeyConstraint(
            ["job_no", "batch_no"],
            ["batches.job_no", "batches.batch_no"],
            name="ready_batch_exists",
            ondelete="CASCADE",
        ),
    )

    job_no: BigKey
    batch_no: IntKey
    provider: Words
    region: Words
    tenant_no: int
    lane: Small
    cells: int
    turn: Big
    not_before: Time
    queued_at: Time
    identity_no: int | None


class Execution(SQLModel, table=True):
    """One planned cell; its row is its story."""

    __tablename__: ClassVar[str] = "executions"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    batch_no: int
    status: Words
    attempts: Small
    error_retryable: bool | None
    started_at: MaybeTime
    finished_at: MaybeTime
    provider_used: MaybeWords
    region_served: MaybeWords
    output: MaybeWords
    error_code: MaybeWords
    error_detail: MaybeWords
    key_no: Small
    forgiven: Small
    not_before: MaybeTime
    usage: MaybeJson
    finish_reason: MaybeWords
    is_complete: bool | None
    model_used: MaybeWords
    identity_no: int | None


class Response(SQLModel, table=True):
    """What a try of a cell was answered, all of it."""

    __tablename__: ClassVar[str] = "responses"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    attempt_no: SmallKey
    bytes: int
    body: Json


class Attempt(SQLModel, table=True):
    """A try of a cell that ended without ending the cell."""

    __tablename__: ClassVar[str] = "attempts"

    job_no: BigKey
    region_no: SmallKey
    model_no: SmallKey
    question_no: SmallKey
    attempt_no: SmallKey
    started_at: Time
    finished_at: Time
    provider_used: Words
    error_code: Words
    error_detail: Words
    status: Words
    error_retryable: bool
    region_served: MaybeWords
    identity_no: int | None


class Event(SQLModel, table=True):
    """Something that happened to a job; numbered from 1 without gaps."""

    __tablename__: ClassVar[str] = "events"

    job_no: BigKey
    event_no: IntKey
    type: Words
    at: Time
    source: Words
    data: Json


class Process(SQLModel, table=True):
    """A process that serves, API or worker."""

    __tablename__: ClassVar[str] = "workers"
    __table_args__ = (UniqueConstraint("id", name="unique_worker_id"),)

    worker_no: IntKey
    id: Words
    role: Words
    pid: int
    host: Words
    running: int
    started_at: Time
    heartbeat_at: Time
    stopped_at: MaybeTime
    metrics: Json
    version: MaybeWords
    configuration_no: int | None
    config_file: MaybeWords
    not_served: Json


class Leader(SQLModel, table=True):
    """Which worker leads a duty, under which fence and until when; and when it last worked as the leader."""

    __tablename__: ClassVar[str] = "leaders"

    duty: WordsKey
    worker_no: int
    fence: Big
    lease_until: Time
    worked_at: Time


class Tally(SQLModel, table=True):
    """A counter of one process that commits with what it counts."""

    __tablename__: ClassVar[str] = "tallies"

    worker_no: IntKey
    series: WordsKey
    labels: WordsKey
    value: Real


class Pool(SQLModel, table=True):
    """A provider in a region: its limit of calls in flight, and its gate."""

    __tablename__: ClassVar[str] = "pools"

    provider: WordsKey
    region: WordsKey
    max_concurrent: int | None
    gate_until: MaybeTime
    gate_code: MaybeWords
    gate_detail: MaybeWords
    gate_times: int
    gate_closed_at: MaybeTime


class Pause(SQLModel, table=True):
    """Whether a region or a provider is paused, since when, by whom and why."""

    __tablename__: ClassVar[str] = "pauses"

    kind: WordsKey
    name: WordsKey
    is_paused: bool
    configured: bool
    changed_at: Time
    changed_by: Words
    reason: MaybeWords


class Operation(SQLModel, table=True):
    """Something that a person did to a region or a provider."""

    __tablename__: ClassVar[str] = "operations"

    operation_no: BigKey
    action: Words
    kind: Words
    name: Words
    at: Time
    by: Words
    reason: MaybeWords


class JobLimit(SQLModel, table=True):
    """How many calls of a job may be in flight, where its policy says so."""

    __tablename__: ClassVar[str] = "job_limits"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="job_limit_belongs_to_job", ondelete="CASCADE"),
    )

    job_no: BigKey
    max_concurrent: int


class DeadLetter(SQLModel, table=True):
    """A cell whose tries were used up; open until it is retried."""

    __tablename__: ClassVar[str] = "dead_letters"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="dead_letter_belongs_to_job", ondelete="CASCADE"),
        Index(
            "unique_open_dead_letter_per_execution",
            "job_no",
            "region_no",
            "model_no",
            "question_no",
            unique=True,
            postgresql_where=text("replayed_at IS NULL"),
        ),
        Index("dead_letters_open", "tenant_no", "dead_letter_no", postgresql_where=text("replayed_at IS NULL")),
    )

    dead_letter_no: BigKey
    tenant_no: int
    job_no: Big
    region_no: Small
    model_no: Small
    question_no: Small
    attempts: Small
    error_code: Words
    error_detail: Words
    died_at: Time
    replayed_at: MaybeTime
    replayed_by: MaybeWords


class RecordSet(SQLModel, table=True):
    """Where the rows of a record type of a dataset lie."""

    __tablename__: ClassVar[str] = "record_sets"
    __table_args__ = (
        UniqueConstraint("tenant_no", "dataset", "record_type", name="unique_record_set"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="record_set_belongs_to_tenant"),
    )

    record_set_no: IntKey
    tenant_no: int
    dataset: Words
    record_type: Words
    key: Names
    generation: int
    completed_generation: int
    open_generation: int
    keys_by_value: bool


class Import(SQLModel, table=True):
    """The right to coordinate an import: lease, fence and holder."""

    __tablename__: ClassVar[str] = "imports"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="import_belongs_to_job", ondelete="CASCADE"),
        Index("imports_by_lease", "lease_until", postgresql_where=text("holder IS NOT NULL")),
        Index("imports_that_wait", "job_no", postgresql_where=text("waiting_since IS NOT NULL")),
    )

    job_no: BigKey
    fence: int
    holder: MaybeBig
    worker_no: int | None
    lease_until: MaybeTime
    heartbeat_at: MaybeTime
    attempts: int
    lost_leases: int
    away_since: MaybeTime
    not_before: MaybeTime
    planned_at: MaybeTime
    ready_window: int | None
    error_code: MaybeWords
    error_detail: MaybeWords
    waiting_since: MaybeTime
    waits_for_job_no: MaybeBig
    waits_for_type: MaybeWords
    waits_for_end: bool | None


class RecordType(SQLModel, table=True):
    """What coordination found out about a record type of an import."""

    __tablename__: ClassVar[str] = "record_types"
    __table_args__ = (
        ForeignKeyConstraint(["job_no"], ["jobs.job_no"], name="record_type_belongs_to_job", ondelete="CASCADE"),
        Index("record_types_by_generation", "record_set_no", "generation", "job_no"),
    )

    job_no: BigKey
    record_type_no: SmallKey
    id: Words
    record_set_no: int
    level: int
    rows_expected: Big
    is_complete: bool
    detail: MaybeWords
    generation: int


class ImportBatch(SQLModel, table=True):
    """Which rows a batch of an import reads, and what became of them."""

    __tablename__: ClassVar[str] = "import_batches"

    job_no: BigKey
    batch_no: IntKey
    record_type_no: Small
    record_batch_no: int
    range: Json
    rows_expected: int
    forgiven: int
    away_since: MaybeTime
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_rejected: int
    error_code: MaybeWords
    error_detail: MaybeWords
    identity_no: int | None
    rows_superseded: int


class ImportedRecord(SQLModel, table=True):
    """A row that was imported, and the batch that wrote it last."""

    __tablename__: ClassVar[str] = "imported_records"

    record_set_no: IntKey
    record_key: WordsKey
    payload: Json
    job_no: Big
    batch_no: int
    updated_at: Time
    generation: int


class Reject(SQLModel, table=True):
    """A row that could not be taken."""

    __tablename__: ClassVar[str] = "rejects"

    job_no: BigKey
    batch_no: IntKey
    position: BigKey
    record_key: MaybeWords
    code: Words
    detail: Words
