"""API keys, their secrets and limits, sessions of pages, the audit log, and the secret that seals numbers."""

from datetime import date
from typing import Annotated, ClassVar

from sqlalchemy import Date, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from db.tables.column_types import (
    Big,
    BigKey,
    IntKey,
    Json,
    MaybeNames,
    MaybeSmall,
    MaybeTime,
    MaybeWords,
    Names,
    Time,
    Words,
)


class StoredApiKey(SQLModel, table=True):
    """An API key of a tenant, without its secrets."""

    __tablename__: ClassVar[str] = "api_keys"
    __table_args__ = (
        UniqueConstraint("id", name="unique_api_key_id"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="api_key_belongs_to_tenant"),
    )

    key_no: BigKey
    id: Words
    tenant_no: int
    name: Words
    scopes: Names
    requests_per_second: int | None
    active_jobs: int | None
    cells_per_day: int | None
    created_at: Time
    created_by: Words
    expires_at: MaybeTime
    revoked_at: MaybeTime
    revoked_by: MaybeWords
    last_used_at: MaybeTime


class ApiKeySecret(SQLModel, table=True):
    """The SHA-256 of a key's text; a rotated key has two until the older one expires."""

    __tablename__: ClassVar[str] = "api_key_secrets"
    __table_args__ = (
        ForeignKeyConstraint(["key_no"], ["api_keys.key_no"], name="secret_belongs_to_api_key", ondelete="CASCADE"),
        Index("api_key_secrets_by_key", "key_no"),
    )

    digest: Annotated[bytes, Field(sa_type=LargeBinary, primary_key=True)]
    key_no: Big
    created_at: Time
    expires_at: MaybeTime


class PageSession(SQLModel, table=True):
    """A session of somebody who signed in to the pages: with an API key's secret, or as the subject of an issuer."""

    __tablename__: ClassVar[str] = "page_sessions"
    __table_args__ = (
        UniqueConstraint("id", name="unique_page_session_id"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="page_session_belongs_to_tenant"),
        ForeignKeyConstraint(
            ["secret_digest"], ["api_key_secrets.digest"], name="page_session_belongs_to_secret", ondelete="CASCADE"
        ),
        Index("page_sessions_by_secret", "secret_digest"),
        Index("page_sessions_by_subject", "issuer", "subject"),
        Index("page_sessions_by_expiry", "expires_at"),
    )

    digest: Annotated[bytes, Field(sa_type=LargeBinary, primary_key=True)]
    id: Words
    tenant_no: int
    secret_digest: Annotated[bytes | None, Field(sa_type=LargeBinary)]
    issuer: MaybeWords
    subject: MaybeWords
    scopes: MaybeNames
    created_at: Time
    last_used_at: Time
    expires_at: Time


class KeyUsage(SQLModel, table=True):
    """What a key with quotas has used: `cells` in its UTC `day`."""

    __tablename__: ClassVar[str] = "key_usage"
    __table_args__ = (
        ForeignKeyConstraint(["key_no"], ["api_keys.key_no"], name="usage_belongs_to_api_key", ondelete="CASCADE"),
    )

    key_no: BigKey
    day: Annotated[date, Field(sa_type=Date)]
    cells: Big


class ActiveJob(SQLModel, table=True):
    """A job that counts among the active jobs of a key, until it has ended."""

    __tablename__: ClassVar[str] = "active_jobs"
    __table_args__ = (
        ForeignKeyConstraint(["key_no"], ["api_keys.key_no"], name="active_job_belongs_to_api_key", ondelete="CASCADE"),
        Index("active_jobs_by_key", "key_no"),
    )

    job_no: BigKey
    key_no: Big


class TenantUsage(SQLModel, table=True):
    """What a tenant with quotas has used: `cells` in its UTC `day`."""

    __tablename__: ClassVar[str] = "tenant_usage"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="usage_belongs_to_tenant", ondelete="CASCADE"),
    )

    tenant_no: IntKey
    day: Annotated[date, Field(sa_type=Date)]
    cells: Big


class TenantRequests(SQLModel, table=True):
    """A tenant's bucket of requests, which holds what came in since `spent_until`."""

    __tablename__: ClassVar[str] = "tenant_requests"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_no"], ["tenants.tenant_no"], name="requests_belong_to_tenant", ondelete="CASCADE"
        ),
    )

    tenant_no: IntKey
    spent_until: Time
    taken: int


class KeyRequests(SQLModel, table=True):
    """A key's bucket of requests, which holds what came in since `spent_until`."""

    __tablename__: ClassVar[str] = "key_requests"
    __table_args__ = (
        ForeignKeyConstraint(["key_no"], ["api_keys.key_no"], name="requests_belong_to_api_key", ondelete="CASCADE"),
    )

    key_no: BigKey
    spent_until: Time
    taken: int


class StoredAuditEntry(SQLModel, table=True):
    """An action, a command or a refusal of the audit log."""

    __tablename__: ClassVar[str] = "audit_entries"
    __table_args__ = (
        Index("audit_entries_by_time", "at"),
        Index("audit_entries_by_action", "action", "entry_no"),
        Index("audit_entries_by_tenant", "tenant_no", "entry_no"),
        Index("audit_entries_by_key", "key_id", "entry_no", postgresql_where=text("key_id IS NOT NULL")),
    )

    entry_no: BigKey
    at: Time
    tenant_no: int | None
    key_id: MaybeWords
    client: MaybeWords
    account: MaybeWords
    action: Words
    target: Json
    outcome: Words
    status_code: MaybeSmall
    code: MaybeWords
    request_id: MaybeWords
    session_id: MaybeWords


class AuditRetention(SQLModel, table=True):
    """For how many days the audit log is kept; there is none or one."""

    __tablename__: ClassVar[str] = "audit_retention"

    is_only: Annotated[bool, Field(primary_key=True)]
    days: int


class NumberSecret(SQLModel, table=True):
    """The secret that seals numbers which are counted over all tenants; there is one."""

    __tablename__: ClassVar[str] = "number_secrets"

    is_only: Annotated[bool, Field(primary_key=True)]
    secret: Annotated[bytes, Field(sa_type=LargeBinary)]


class ExpectedAccessRule(SQLModel, table=True):
    """A rule of who sees and changes which rows, as migrations made it; the view `access_rules` has those that are."""

    __tablename__: ClassVar[str] = "expected_access_rules"

    object: Annotated[str, Field(primary_key=True, sa_type=Text)]
    kind: Words
    definition: Words
