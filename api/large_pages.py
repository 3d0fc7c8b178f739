"""Pages of answers and of imported rows, which may be large, are read and written as JSON a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.fair_places import FairPlaces
from domain.errors import Overloaded

AT_ONCE = 1
"""A page of one answer of 4 MB takes some 16 MB while it is read and written."""
MOST_WAITING = 200
"""The requests of a tenant that wait."""
DEADLINE_SECONDS = 5.0
RETRY_SECONDS = 1


class LargePages:
    """Bounds how many of them are in work, so that many requests at once take little memory. Tenants take turns."""

    def __init__(self) -> None:
        self._places = FairPlaces(AT_ONCE)

    @asynccontextmanager
    async def place(self, tenant_no: int) -> AsyncIterator[None]:
        """Hold a place, until the page is ready to be sent. Raises Overloaded if there is none in time."""
        if self._places.waiting(tenant_no) >= MOST_WAITING:
            raise _overloaded()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await stack.enter_async_context(self._places.place(tenant_no))
            except TimeoutError:
                raise _overloaded() from None
            yield


def _overloaded() -> Overloaded:
    return Overloaded("Too many pages are asked for at once.", retry_after_seconds=RETRY_SECONDS)
