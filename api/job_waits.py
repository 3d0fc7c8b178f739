"""Requests that wait until a job has ended (`Prefer: wait`).

One look at the database serves all of a process, and none holds a connection.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress

from fastapi import Request

from api.event_feed import LOOK_SECONDS, SHORTEST_SECONDS, EventSignal
from api.yielding_places import Place, YieldingPlaces
from db.engine import UNAVAILABLE, Engine
from db.jobs import find_closed_jobs, find_job_status
from domain.errors import BreakwaterError
from submissions.responses import SubmissionResponse, at_status

AT_ONCE = 500
"""Requests of a process that wait at once: each keeps its client's connection and its answer in memory."""
OF_TENANT = 100
"""Those of them that one tenant may have where there are others: fewer than of its reads may wait (`api.pools`), since
one end of a job has all of them read it at once."""
CHECK_SECONDS = 0.2
"""How often a request is looked at that waits: with the age of a look-up of its key, it ends within a second of it."""


class JobWaits:
    """Lets requests wait for the ends of jobs. `run` must run meanwhile; `signal` tells it when to look.

    They are so many `at_once`, and if the process `is_shared`, so many `of_tenant`.
    """

    def __init__(
        self,
        engine: Engine,
        signal: EventSignal,
        *,
        at_once: int = AT_ONCE,
        of_tenant: int = OF_TENANT,
        is_shared: bool = True,
    ) -> None:
        self._engine = engine
        self._signal = signal
        self._places = YieldingPlaces(at_once, of_tenant=of_tenant if is_shared else at_once)
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._has_waiting = asyncio.Event()

    async def wait(self, request: Request, tenant_no: int, job_no: int, seconds: float) -> bool:
        """Wait until the job has ended or the time is over; return False where the request has to be answered before.

        So it is where there is no place for it, it has to give its place up, the process is to stop, or the client has
        left. Raises as `Place.goes_on`.
        """
        with self._places.place(tenant_no) as place:
            if place is None:
                return False
            closed = asyncio.Event()
            self._waiting[job_no].add(closed)
            self._has_waiting.set()
            try:
                await self._look((job_no,))  # it may have ended before it was waited for
                return await self._wait(request, place, closed, time.monotonic() + seconds)
            finally:
                self._leave(job_no, closed)

    async def wait_for_submitted(
        self, request: Request, engine: Engine, response: SubmissionResponse, *, tenant_no: int, seconds: int
    ) -> tuple[SubmissionResponse, bool]:
        """Return the response to a submission once its job has ended, and whether it waited as asked.

        What keeps it from waiting doesn't undo the submission: the response is then what it is without waiting.
        """
        job_id = response.body["job"]["id"]
        try:
            job_no, _ = await find_job_status(engine, tenant_no, job_id)
            is_applied = await self.wait(request, tenant_no, job_no, seconds)
            _, status = await find_job_status(engine, tenant_no, job_id)
        except (BreakwaterError, *UNAVAILABLE):
            return response, False
        return at_status(response, status), is_applied

    async def run(self) -> None:
        """Look for jobs that have ended, at each commit of events and once a second, until cancelled."""
        while True:
            await self._has_waiting.wait()
            committed = self._signal.next()
            looked_at = time.monotonic()
            await self._look(tuple(self._waiting))
            await _wait_for(committed, LOOK_SECONDS)
            await asyncio.sleep(looked_at + SHORTEST_SECONDS - time.monotonic())

    async def _wait(self, request: Request, place: Place, closed: asyncio.Event, until: float) -> bool:
        while not closed.is_set() and (left := until - time.monotonic()) > 0:
            await _wait_for(closed, min(left, CHECK_SECONDS))
            if not await place.goes_on(request):
                return closed.is_set()
        return True

    async def _look(self, job_nos: Collection[int]) -> None:
        with suppress(*UNAVAILABLE):  # the next look is a second later
            for job_no in await find_closed_jobs(self._engine, job_nos):
                for closed in self._waiting.get(job_no, ()):
                    closed.set()

    def _leave(self, job_no: int, closed: asyncio.Event) -> None:
        self._waiting[job_no].remove(closed)
        if not self._waiting[job_no]:
            del self._waiting[job_no]
        if not self._waiting:
            self._has_waiting.clear()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
