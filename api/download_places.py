"""The places for downloads of a process: who gets one, and who gives way to a download that waits."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.download_clients import PACE_SECONDS, SAMPLES, DownloadClient
from api.fair_places import FairPlaces
from domain.errors import Overloaded

AT_ONCE = 8
"""Each has a connection and keeps a page in memory, some MiB (2026-11-30)."""
SLOW_BYTES_PER_SECOND = 128 * 1024
"""A client gives way if it is slower than this for each download of the same tenant that waits,"""
MOST_BYTES_PER_SECOND = 1024 * 1024
"""though not if it is as fast as this."""
DEADLINE_SECONDS = 5.0
RETRY_SECONDS = 5


class DownloadPlaces:
    """Bounds concurrent downloads.

    While one waits, the tenant with most places loses one, if it has at least two more than the tenant that waits.
    Else a slow client gives way: of the same tenant, or of one with more places.
    """

    def __init__(
        self,
        at_once: int = AT_ONCE,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        self._places = FairPlaces(at_once)
        self._clients: set[DownloadClient] = set()
        self._deadline_seconds = deadline_seconds
        self.pace_seconds = pace_seconds

    @asynccontextmanager
    async def place(self, client: DownloadClient) -> AsyncIterator[None]:
        """Hold a place for a client. Raises Overloaded if no running download ends or gives way in time."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._deadline_seconds), asyncio.TaskGroup() as tasks:
                    looking = tasks.create_task(self._have_others_give_way(client.tenant_no))
                    await stack.enter_async_context(self._places.place(client.tenant_no))
                    looking.cancel()
            except TimeoutError:
                raise Overloaded(
                    "As many downloads are under way as this process serves at once.", retry_after_seconds=RETRY_SECONDS
                ) from None
            self._clients.add(client)
            stack.callback(self._clients.discard, client)
            client.watch()
            stack.callback(client.leave)
            yield

    async def _have_others_give_way(self, tenant_no: int) -> None:
        while True:
            await asyncio.sleep(self.pace_seconds / SAMPLES)
            self._have_one_give_way(tenant_no)

    def _have_one_give_way(self, tenant_no: int) -> None:
        """Have one client give way to a tenant's download that waits, if one should."""
        leaving = [client for client in self._clients if client.gives_way]
        if len(leaving) >= self._places.waiting_in_all():
            return
        staying = self._clients.difference(leaving)
        held = Counter(client.tenant_no for client in staying)
        most = max(held.values(), default=0)
        own = self._places.held(tenant_no) + sum(client.tenant_no != tenant_no for client in leaving)
        if most >= own + 2:
            reason, needed = "place_needed", math.inf
            judged = [client for client in staying if held[client.tenant_no] == most]
        else:
            reason, needed = "client_slow", self._needed_pace(tenant_no)
            judged = [client for client in staying if client.tenant_no == tenant_no or held[client.tenant_no] > own]
        slowest = min(judged, key=DownloadClient.pace, default=None)
        if slowest is not None and (reason == "place_needed" or slowest.pace() < needed):
            slowest.give_way(reason)

    def _needed_pace(self, tenant_no: int) -> float:
        return min(self._places.waiting(tenant_no) * SLOW_BYTES_PER_SECOND, MOST_BYTES_PER_SECOND)
