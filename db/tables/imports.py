"""Imports, their batches, records and rejects."""

from typing import ClassVar

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import SQLModel

from db.tables.column_types import (
    Big,
    BigKey,
    IntKey,
    Json,
    MaybeBig,
    MaybeTime,
    MaybeWords,
    Names,
    Small,
    SmallKey,
    Time,
    Words,
    WordsKey,
)


class RecordSet(SQLModel, table=True):
    """The set of a record type's rows in a dataset."""

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
    """The coordination of an import: lease, fence and holder."""

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
    """The surveyed facts of a record type of an import."""

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
    """The rows that a batch of an import reads, and how many were written."""

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
    """A rejected row."""

    __tablename__: ClassVar[str] = "rejects"

    job_no: BigKey
    batch_no: IntKey
    position: BigKey
    record_key: MaybeWords
    code: Words
    detail: Words
