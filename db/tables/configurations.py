"""Committed configurations and identities."""

from typing import ClassVar

from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel

from db.tables.column_types import IntKey, Json, MaybeWords, Numbers, Time, Words


class StoredIdentity(SQLModel, table=True):
    """The identity of a provider in a region, a connection, or the root of imports; one that is kept for a `tenant`."""

    __tablename__: ClassVar[str] = "identities"
    __table_args__ = (UniqueConstraint("kind", "name", "region", "digest", name="unique_identity"),)

    identity_no: IntKey
    kind: Words
    name: Words
    region: Words
    content: Words
    digest: Words
    is_simulated: bool
    tenant: MaybeWords


class StoredConfiguration(SQLModel, table=True):
    """A configuration that was applied; the one with the highest number is in force."""

    __tablename__: ClassVar[str] = "configurations"

    configuration_no: IntKey
    content: Json
    is_simulated: bool
    identity_nos: Numbers
    applied_at: Time
    applied_by: Words
