"""What holds jobs, in their timelines: pauses, open circuit breakers and configurations that lack their identities.

Who pauses writes nothing for the jobs, of which there may be very many. The leading worker compares pages of open jobs
with what their timelines say, and writes the difference. Only it runs these, in `db.leadership.as_leader`.
"""

from typing import NamedTuple

from db.engine import Connection, statement

PAGE = 500
"""Jobs of a transaction."""


class HoldSigns(NamedTuple):
    """Whether anything may hold jobs or did until now, and the configuration in force (None: none was committed)."""

    are_there: bool
    configuration_no: int | None


class HoldsWritten(NamedTuple):
    """How many jobs were looked at, the key of the last one (None of none), and how many events were written."""

    jobs: int
    last_job_no: int | None
    events: int


async def find_hold_signs(connection: Connection) -> HoldSigns:
    """Return whether timelines may differ from what holds their jobs."""
    [row] = await connection.fetch(statement("find_hold_signs"))
    return HoldSigns(*row)


async def write_holds(connection: Connection, *, after: int, source: str) -> HoldsWritten:
    """Write what began or ceased to hold open jobs, for a page of them after the key `after`.

    Passes over locked jobs, and forgets what held jobs that have ended. Safe to repeat: what a timeline says isn't
    written again.
    """
    [row] = await connection.fetch(statement("write_holds"), after, PAGE, source)
    return HoldsWritten(*row)
