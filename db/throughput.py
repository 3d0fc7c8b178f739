"""What ended in each minute of all tenants, from samples of the counters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.engine import Connection, statement

SHOWN_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """What ended in a minute: cells that were completed, cells that ended otherwise, and rows of import batches."""

    minute: datetime
    completed: int
    failed: int
    imported: int


async def record_throughput(connection: Connection, *, cells: str, rows: str) -> bool:
    """Sample the counters of these series for this minute; samples of more than a day ago are deleted.

    Safe to repeat: the last sample of a minute stands. Runs in the caller's transaction. Return True.
    """
    await connection.execute(statement("record_throughput"), cells, rows)
    return True


async def list_throughput(connection: Connection) -> Sequence[Minute]:
    """Return the last SHOWN_MINUTES that were sampled, oldest first; the newest isn't over yet."""
    rows = await connection.fetch(statement("list_throughput"), SHOWN_MINUTES)
    return [Minute(**row) for row in rows]
