"""Dead letters of all tenants: cells whose tries are used up, and replaying them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from db.cell_retrying import retry_cell, unchanged_cell
from db.controls import LOCK_TIMEOUT, Actor, lock_job_no
from db.engine import Connection, Engine, connect, statement
from db.executions import CellKey, execution_id
from db.kinds import Retried
from db.reading import Slice
from domain.errors import NotFound

COUNTED = 10_000
"""The limit of counting, so that a scrape stays cheap: this many take 9 ms (2026-11-29, two cores)."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed cell of a tenant's job that waits for a person; `attempts` counts all its tries."""

    dead_letter_no: int
    tenant_no: int
    tenant: str
    job_id: str
    execution_id: str
    model_id: str
    region: str
    question_id: str
    attempts: int
    error_code: str
    error_detail: str
    died_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """What dead letters are narrowed to, by names; `region` is canonical. None stands for any."""

    tenant: str | None = None
    job_id: str | None = None
    region: str | None = None
    model: str | None = None
    error_code: str | None = None


OF_ALL = DeadLetterFilter()


async def list_dead_letters(
    engine: Engine, wanted: DeadLetterFilter = OF_ALL, *, before: int | None, limit: int
) -> Slice[DeadLetter]:
    """Return open dead letters that match, newest first, from below `before` on.

    Those of a cancelled job are left out.
    """
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("list_dead_letters"), before, *astuple(wanted), limit + 1)
    return Slice([_letter(dict(row)) for row in rows[:limit]], is_last=len(rows) <= limit)


async def match_dead_letters(connection: Connection, wanted: DeadLetterFilter, *, limit: int) -> Sequence[int]:
    """Return the keys of the open dead letters that match in one snapshot, in ascending order, `limit` at most."""
    rows = await connection.fetch(statement("match_dead_letters"), *astuple(wanted), limit)
    return [row["dead_letter_no"] for row in rows]


async def count_dead_letters(connection: Connection) -> int:
    """Count the open dead letters of all tenants, without those of cancelled jobs, up to COUNTED of them."""
    count: int = await connection.fetchval(statement("count_dead_letters"), COUNTED)
    return count


async def replay(connection: Connection, dead_letter_no: int, actor: Actor, *, wait: str = LOCK_TIMEOUT) -> Retried:
    """Plan a dead letter's cell anew, whichever tenant's, unless it was replayed before, in the caller's transaction.

    Locks as a retry does, and waits for a lock for `wait` at most. Raises NotFound, JobCancelled and LOCK_TIMED_OUT.
    """
    letter = await connection.fetchrow(statement("read_dead_letter"), dead_letter_no)
    if letter is None or not await lock_job_no(connection, letter["tenant_no"], letter["job_no"], wait=wait):
        raise NotFound("There is no dead letter with this id.")
    # Again, under the lock.
    [(_, job_no, *cell, is_open)] = await connection.fetch(statement("read_dead_letter"), dead_letter_no)
    if not is_open:
        return await unchanged_cell(connection, job_no)
    key = CellKey(*cell)
    asked = {"dead_letter_id": dead_letter_no, "execution_id": execution_id(job_no, key)}
    return await retry_cell(connection, job_no, key, actor, filtered=asked)


def _letter(row: dict[str, Any]) -> DeadLetter:
    key = CellKey(*(row.pop(name) for name in CellKey._fields))
    return DeadLetter(execution_id=execution_id(row.pop("job_no"), key), **row)
