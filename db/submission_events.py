"""The events of submissions: each POST that was answered with an open job is an event of it."""

from collections.abc import Sequence
from typing import NamedTuple

from db.engine import Connection, statement

PAGE = 500


class SubmissionEvent(NamedTuple):
    """A submission as an event of the job that it was answered with; `data` is JSON text."""

    job_no: int
    source: str
    data: str


async def write_submitted_events(connection: Connection, events: Sequence[SubmissionEvent]) -> None:
    """Write these events of the jobs that are open, in the caller's transaction.

    Waits for no row: events of a job whose row is locked are kept with the transaction and written later.
    """
    await connection.execute(statement("write_submitted_events"), *zip(*events, strict=True))


async def write_late_events(connection: Connection) -> int:
    """Write a page of the events that were kept; return how many. Events of jobs that have ended are forgotten."""
    written: int = await connection.fetchval(statement("write_late_events"), PAGE)
    return written
