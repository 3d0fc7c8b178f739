"""Reports in the timelines of jobs what holds them: a walk over the open jobs, some pages at a time.

There is none while nothing may hold jobs. A hold that ends before the walk comes to a job isn't reported there.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from db import job_holds
from db.engine import Connection

PAGES = 10
"""Pages of a period: a pause of a region for which 100,000 jobs wait is reported to all of them within 20 periods."""
Result = TypeVar("Result")


class AsLeader(Protocol):
    """Runs a unit in a transaction while this worker leads; returns None once it doesn't."""

    async def __call__(self, unit: Callable[[Connection], Awaitable[Result]]) -> Result | None:
        """Run the unit."""
        ...


class HoldReports:
    """The walk of one worker, which goes on from period to period while it leads."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._after = 0
        self._walking: int | None = None
        self._walked: int | None = None
        """The configuration under which the last whole walk began."""

    async def report(self, as_leader: AsLeader) -> None:
        """Report of the next pages of open jobs what holds them, unless nothing may."""
        signs = await as_leader(job_holds.find_hold_signs)
        if signs is None or not (signs.are_there or signs.configuration_no != self._walked):
            return
        if self._after == 0:
            self._walking = signs.configuration_no
        for _ in range(PAGES):
            unit = partial(job_holds.write_holds, after=self._after, source=self._source)
            written = await as_leader(unit)
            if written is None:
                return
            self._after = written.last_job_no or 0
            if written.jobs < job_holds.PAGE:
                self._after, self._walked = 0, self._walking
                break
