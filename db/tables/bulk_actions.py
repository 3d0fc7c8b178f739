"""Actions over a filter, and the items that their dry runs matched."""

from typing import ClassVar

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import SQLModel

from db.tables.column_types import BigKey, MaybeBig, MaybeTime, MaybeWords, Words


class StoredBulkAction(SQLModel, table=True):
    """A dry run of an action over a filter, and the action that followed it."""

    __tablename__: ClassVar[str] = "bulk_actions"
    __table_args__ = (
        UniqueConstraint("as_of", name="unique_bulk_action_as_of"),
        UniqueConstraint("operation_no", name="unique_bulk_action_operation"),
        ForeignKeyConstraint(["tenant_no"], ["tenants.tenant_no"], name="bulk_action_belongs_to_tenant"),
        Index("bulk_actions_by_expiry", "expires_at"),
    )

    bulk_no: BigKey
    tenant_no: int
    as_of: Words
    action: Words
    filter: Words
    matched: int
    done: int
    skipped: int
    expires_at: MaybeTime
    operation_no: MaybeBig
    at: MaybeTime
    by: MaybeWords
    reason: MaybeWords


class StoredBulkItem(SQLModel, table=True):
    """A job or dead letter that a dry run matched, and its outcome."""

    __tablename__: ClassVar[str] = "bulk_items"
    __table_args__ = (
        ForeignKeyConstraint(
            ["bulk_no"], ["bulk_actions.bulk_no"], name="bulk_item_belongs_to_action", ondelete="CASCADE"
        ),
    )

    bulk_no: BigKey
    number: BigKey
    tenant_no: int
    outcome: MaybeWords
