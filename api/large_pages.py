"""Pages of answers and of imported rows, which may be large, are read and written as JSON a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import Overloaded

AT_ONCE = 1
"""A page of one answer of 4 MB takes some 16 MB while it is read and written."""
DEADLINE_SECONDS = 5.0
RETRY_SECONDS = 1


class LargePages:
    """Bounds how many of them are in work, so that many requests at once take little memory."""

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Hold a permit, until the page is ready to be sent. Raises Overloaded if there is none in time."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._permits.acquire()
        except TimeoutError:
            raise Overloaded("Too many pages are asked for at once.", retry_after_seconds=RETRY_SECONDS) from None
        try:
            yield
        finally:
            self._permits.release()
