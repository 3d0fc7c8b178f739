"""The answers of actions over a filter."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, RootModel

from db.bulk_actions import BulkCounts


class BulkParameters(BaseModel):
    """How an action over a filter is asked for, besides the filter."""

    dry_run: bool = Field(
        default=False, description="Count what matches and remember it under an `as_of`; change nothing."
    )
    as_of: str | None = Field(
        default=None,
        max_length=100,
        description="The dry run whose matches this acts on: its `as_of`. Required without `dry_run`.",
    )


class Matched(BaseModel):
    """What a filter matches at this moment: an action that names `as_of` takes exactly that."""

    matched: int
    as_of: str = Field(description="For the action, with the same filter: `?as_of=…`.")
    expires_at: datetime = Field(description="Until when an action may name it; each request that does adds an hour.")


class BulkAnswer(BaseModel):
    """How far an action over a filter is, over all requests that named this `as_of`."""

    as_of: str
    matched: int = Field(description="By the dry run.")
    done: int
    skipped: dict[str, int] = Field(
        description="Those that were left as they are, by the reason: `already_ended`, `no_longer_matches`, "
        "`nothing_failed`, `already_replayed`, or the code by which the single action refuses them."
    )
    left: int = Field(description="Above 0: repeat the request; it takes these, and none twice.")

    @classmethod
    def of(cls, as_of: str, counts: BulkCounts) -> Self:
        """Return the answer for these counts."""
        return cls(
            as_of=as_of,
            matched=counts.done + counts.left + sum(counts.skipped.values()),
            done=counts.done,
            skipped=dict(counts.skipped),
            left=counts.left,
        )


class BulkResponse(RootModel[BulkAnswer | Matched]):
    """How far the action is; of a dry run, what matches."""
