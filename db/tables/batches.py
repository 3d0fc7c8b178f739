"""Waves, batches, ready rows, limits of jobs, and dead letters."""

from typing import ClassVar

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import SQLModel

from db.tables.column_types import Big, BigKey, IntKey, MaybeBig, MaybeTime, MaybeWords, Small, Time, Words, WordsKey


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
    """A due batch, with its virtual finish time. A hint: the batch's own row decides."""

    __tablename__: ClassVar[str] = "ready"
    __table_args__ = (
        Index("ready_by_turn", "provider", "region", "turn", "job_no", "batch_no"),
        Index("ready_by_identity", "identity_no", "turn", "job_no", "batch_no"),
        Index("ready_by_tenant", "identity_no", "tenant_no", "turn", "job_no", "batch_no"),
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


class TenantTurn(SQLModel, table=True):
    """The virtual times at which what was last taken of a tenant's work in a queue began and ends."""

    __tablename__: ClassVar[str] = "tenant_turns"
    __table_args__ = (ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="turn_belongs_to_tenant"),)

    queue: WordsKey
    tenant_no: IntKey
    last_start: Big
    last_finish: Big


class JobLimit(SQLModel, table=True):
    """The limit of a job's calls in flight, if its policy sets one."""

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
