"""Actions over a filter: the items that a dry run matched, and the outcome of each.

A dry run's items are rows, so an action takes exactly these, whatever commits later; each item is locked and recorded
in the transaction that acts on it, so it is taken once (docs/decisions/0053).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from db.engine import Connection, statement

KEPT_SECONDS = 3600.0
"""How long a dry run's items are kept after it, and after each request that names them."""
MOST_DRY_RUNS = 20
"""Dry runs of a tenant that are kept while no action follows: each may have a row for every job."""
PURGED_AT_ONCE = 5_000
DONE = "done"


class BulkName(StrEnum):
    """The actions that take a filter."""

    CANCEL_JOBS = "cancel_jobs"
    RETRY_JOBS = "retry_jobs"
    REPLAY_DEAD_LETTERS = "replay_dead_letters"


@dataclass(frozen=True, slots=True)
class BulkFilter:
    """A tenant's action and its filter as text; `as_of` names a dry run of both."""

    tenant_no: int
    name: BulkName
    text: str
    as_of: str


@dataclass(frozen=True, slots=True)
class BulkAction:
    """An action that has begun on the items of its dry run."""

    bulk_no: int
    matched: int


@dataclass(frozen=True, slots=True)
class BulkCounts:
    """The numbers of an action's items that were done, that were skipped by reason, and that are left."""

    done: int = 0
    left: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


async def record_matches(connection: Connection, wanted: BulkFilter, numbers: Sequence[int]) -> datetime:
    """Record the items that a dry run matched; return until when they are kept.

    The tenant's oldest dry runs that no action has followed expire, so that it has MOST_DRY_RUNS of them.
    """
    kept_until: datetime = await connection.fetchval(
        statement("insert_bulk_action"),
        wanted.tenant_no,
        wanted.as_of,
        wanted.name,
        wanted.text,
        len(numbers),
        numbers,
        KEPT_SECONDS,
    )
    await connection.execute(statement("expire_dry_runs"), wanted.tenant_no, MOST_DRY_RUNS)
    return kept_until


async def begin(connection: Connection, wanted: BulkFilter, *, by: str, reason: str | None) -> BulkAction | None:
    """Begin the action of a dry run, or go on with it; None if there is no such dry run any more.

    Its actor and reason are those of the first request. Locks its row.
    """
    row = await connection.fetchrow(
        statement("begin_bulk_action"),
        wanted.tenant_no,
        wanted.as_of,
        wanted.name,
        wanted.text,
        KEPT_SECONDS,
        by,
        reason,
    )
    return None if row is None else BulkAction(**row)


async def list_left(connection: Connection, bulk_no: int, *, after: int, limit: int) -> Sequence[int]:
    """Return the next items that are left, with keys above `after`, in ascending order."""
    return [row["number"] for row in await connection.fetch(statement("list_bulk_items"), bulk_no, after, limit)]


async def claim(connection: Connection, bulk_no: int, numbers: Sequence[int]) -> Sequence[int]:
    """Lock those of these items for the transaction that are left and that no other request has. Never waits."""
    return [row["number"] for row in await connection.fetch(statement("claim_bulk_items"), bulk_no, numbers)]


async def finish(connection: Connection, bulk_no: int, numbers: Sequence[int], outcome: str) -> None:
    """Record an outcome (DONE, or why they were skipped) of items that have none. Locks the items and the action."""
    await connection.execute(statement("finish_bulk_items"), bulk_no, numbers, outcome)


async def count_outcomes(connection: Connection, bulk_no: int) -> BulkCounts:
    """Count the action's items by their outcome."""
    rows = await connection.fetch(statement("count_bulk_outcomes"), bulk_no)
    items = {row["outcome"]: row["items"] for row in rows}
    return BulkCounts(items.pop(DONE, 0), items.pop(None, 0), items)


async def purge(connection: Connection) -> int:
    """Delete a page of items of an action that has expired; return 0 if there was none."""
    purged: int = await connection.fetchval(statement("delete_expired_bulk_items"), PURGED_AT_ONCE)
    return purged
