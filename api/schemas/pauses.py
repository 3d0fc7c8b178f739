"""Pauses and operations as they are shown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.paging import Listed
from db.operations import OperationRead
from db.pauses import Pause


class Pausable(BaseModel):
    """What can be paused: new specs that name it are refused or wait, and nothing of it is started."""

    name: str = Field(description="As every answer names it.")
    paused: bool
    changed_at: datetime = Field(description="Since when it is paused, or isn't.")
    changed_by: str | None = Field(
        description="`configuration`, or the caller that paused or resumed it; null without the scope `operate`."
    )
    reason: str | None = Field(description="Why, if they said so; null without the scope `operate`.")
    tenants: list[str] | None = Field(
        description="The only tenants that may name it; null: all may, or without the scope `operate`."
    )

    def for_tenants(self) -> Self:
        """Return it without what only the scope `operate` shows."""
        return self.model_copy(update={"changed_by": None, "reason": None, "tenants": None})


def pause_members(name: str, pause: Pause, tenants: Sequence[str] | None) -> dict[str, Any]:
    """Return the members of something that can be paused."""
    return {
        "name": name,
        "paused": pause.is_paused,
        "changed_at": pause.changed_at,
        "changed_by": pause.changed_by,
        "reason": pause.reason,
        "tenants": tenants,
    }


class Operation(BaseModel):
    """A pause or a resume that changed something, or an action over a filter."""

    id: int
    action: Literal["pause", "resume", "cancel", "retry", "replay"]
    kind: Literal["region", "provider", "jobs", "dead_letters"]
    name: str = Field(description="Of a region or provider; of an action over a filter, the filter.")
    at: datetime = Field(description="Of an action over a filter: when it began.")
    by: str
    reason: str | None
    matched: int | None = Field(description="Of an action over a filter: by its dry run; null of others.")
    done: int | None = Field(description="Likewise: those that it changed so far.")
    skipped: int | None = Field(description="Likewise: those that it left as they were. `matched` less both is left.")

    @classmethod
    def of(cls, operation: OperationRead) -> Self:
        """Return the operation as it is shown."""
        return cls.model_validate(
            {
                **{name: getattr(operation, name) for name in cls.model_fields if name != "id"},
                "id": operation.operation_no,
            }
        )


class OperationList(Listed[Operation]):
    """Operations, newest first."""
