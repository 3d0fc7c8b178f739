"""Tenants and API keys as they are made and shown."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.filters import refuse_nul
from api.paging import Listed
from db import api_keys
from db.api_keys import KeyRead
from db.page_sessions import SessionRead
from db.tenants import TenantRead
from domain import tenant_names
from domain.durations import PATTERN as DURATION
from domain.durations import seconds_of
from domain.key_limits import KeyLimits, Quota
from domain.scopes import Scope

TenantName = Annotated[
    tenant_names.TenantName,
    Field(description="1 to 100 characters of A-Z, a-z, 0-9 and `._:-`; the first is a letter or a digit."),
]
Duration = Annotated[str, StringConstraints(pattern=DURATION), Field(examples=["90d", "12h", "15m", "30s"])]
KeyName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(refuse_nul)
]
Limit = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]


class Limits(BaseModel):
    """Limits of a key or tenant; without a member there is no such limit."""

    model_config = ConfigDict(extra="forbid")

    requests_per_second: Limit | None = None
    active_jobs: Limit | None = Field(default=None, description="Jobs of the key or tenant that haven't ended.")
    cells_per_day: Limit | None = Field(
        default=None, description="Cells created in a UTC day, by retries too; nothing is given back."
    )

    def values(self) -> KeyLimits:
        """Return the limits."""
        return KeyLimits(**self.model_dump())


class LimitChanges(Limits):
    """Limits to be set: null takes one away, and those that aren't given stay."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one limit; null takes one away")
        return self

    def changes(self) -> dict[str, int | None]:
        """Return the limits that were given."""
        return self.model_dump(exclude_unset=True)


class UsedLimit(BaseModel):
    """How much of a limit is used."""

    name: Literal[
        "requests_per_second",
        "active_jobs",
        "cells_per_day",
        "tenant_requests_per_second",
        "tenant_active_jobs",
        "tenant_cells_per_day",
    ] = Field(description="With `tenant_`: of the tenant, over all its keys, access tokens and sessions.")
    limit: int
    used: int
    remaining: int
    resets_at: datetime | None = Field(description="When all of it is free again; null for active jobs: as they end.")

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """Return the limit as it is shown."""
        shown = {name: getattr(quota, name) for name in cls.model_fields}
        return cls(**{**shown, "name": quota.label})


class UsedLimits(BaseModel):
    """The limits of the key that asks, and of its tenant."""

    key_id: str | None = Field(description="Null of an access token, and while authentication is off.")
    limits: list[UsedLimit] = Field(description="Those that there are.")


class NewTenant(BaseModel):
    """A tenant to be made."""

    model_config = ConfigDict(extra="forbid")

    name: TenantName
    limits: Limits = Limits()


class Tenant(BaseModel):
    """A tenant: the owner of jobs, datasets and keys."""

    name: str
    created_at: datetime
    limits: dict[str, int] = Field(description="Over all its keys, access tokens and sessions.")

    @classmethod
    def of(cls, tenant: TenantRead) -> Self:
        """Return the tenant as it is shown."""
        return cls(name=tenant.name, created_at=tenant.created_at, limits=tenant.limits.given())


class TenantList(Listed[Tenant]):
    """Tenants, in the order in which they were made."""


class NewKey(BaseModel):
    """An API key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: KeyName = Field(description="The purpose, for people.")
    tenant: TenantName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_in: Duration | None = Field(default=None, description="After which it is refused; without it never.")
    limits: Limits = Limits()

    def wanted(self) -> api_keys.NewKey:
        """Return the key as it is to be made."""
        expires_in_seconds = None if self.expires_in is None else seconds_of(self.expires_in)
        return api_keys.NewKey(self.tenant, self.name, self.scopes, self.limits.values(), expires_in_seconds)


class RotateRequest(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid")

    overlap: Duration = Field(default="1h", description="For how long the secret before it stays valid.")

    @property
    def overlap_seconds(self) -> int:
        """The overlap in seconds."""
        return seconds_of(self.overlap)


class Key(BaseModel):
    """An API key, without its secret."""

    id: str
    name: str
    tenant: str
    scopes: list[str]
    limits: dict[str, int]
    status: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Within half a minute; null if it never was.")

    @classmethod
    def of(cls, key: KeyRead) -> Self:
        """Return the key as it is shown."""
        shown = {name: getattr(key, name) for name in cls.model_fields if hasattr(key, name)}
        return cls.model_validate({**shown, "limits": key.limits.given(), "status": _status(key)})


class KeyWithSecret(Key):
    """An API key that was just made or rotated."""

    key: str | None = Field(description="What requests send. It is shown this once; null where a response is repeated.")

    @classmethod
    def once(cls, key: KeyRead, text: str | None) -> Self:
        """Return the key with its text."""
        return cls(**Key.of(key).model_dump(), key=text)


class KeyList(Listed[Key]):
    """Keys, newest first."""


class Session(BaseModel):
    """A session of somebody who signed in to the pages."""

    id: str
    tenant: str
    key_id: str | None = Field(description="The API key that opened it; null of an identity provider's.")
    subject: str | None = Field(description="Who signed in at the identity provider; null of a key's.")
    created_at: datetime
    last_used_at: datetime = Field(description="Within half a minute.")
    expires_at: datetime = Field(description="It ends earlier if it isn't used (`BREAKWATER_SESSION_IDLE_SECONDS`).")

    @classmethod
    def of(cls, session: SessionRead) -> Self:
        """Return the session as it is shown."""
        return cls(**asdict(session))


class SessionList(Listed[Session]):
    """Sessions that haven't ended, in the order of their ids."""


class EndedSession(BaseModel):
    """A session that was ended."""

    id: str


def _status(key: KeyRead) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"
