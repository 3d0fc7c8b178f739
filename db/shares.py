"""Shares of a pool: how many connections one tenant may hold at once, so that the others find one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Overloaded

SHARE_SECONDS = 60.0
"""How long a tenant's request waits for the tenant's own requests: as long as a statement of theirs may take."""
RETRY_SECONDS = 5
BUSY_SECONDS = 1


class Share(asyncio.Semaphore):
    """What one tenant may hold. A request that waits keeps its client's connection, so their number is bounded."""

    def __init__(self, size: int, most_waiting: int) -> None:
        super().__init__(size)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def acquire(self) -> Literal[True]:
        """Take a part, in the order of requests. Raises Overloaded: at once if too many wait, else in time."""
        if not self.locked():
            return await super().acquire()
        if self._waiting >= self._most_waiting:
            detail = f"{self._waiting} requests of your tenant wait already for what one tenant may hold at once."
            raise Overloaded(detail, retry_after_seconds=BUSY_SECONDS)
        self._waiting += 1
        try:
            async with asyncio.timeout(SHARE_SECONDS):
                return await super().acquire()
        except TimeoutError:
            detail = "Requests of your tenant hold all that one tenant may hold at once, and have for a minute."
            raise Overloaded(detail, retry_after_seconds=RETRY_SECONDS) from None
        finally:
            self._waiting -= 1


class Shares:
    """Bounds each tenant to `size` connections of a pool; `most_waiting` requests beyond wait for the tenant's own."""

    def __init__(self, size: int, *, most_waiting: int) -> None:
        self._size = size
        self._most_waiting = most_waiting
        self._by_tenant: WeakValueDictionary[int, Share] = WeakValueDictionary()

    def of(self, tenant_no: int) -> Share:
        """Return a tenant's share; it is forgotten once no request refers to it."""
        if (share := self._by_tenant.get(tenant_no)) is None:
            share = self._by_tenant[tenant_no] = Share(self._size, self._most_waiting)
        return share


@asynccontextmanager
async def in_share(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold a part of the engine's share, if it has one (`db.engine.for_tenant`). Raises Overloaded."""
    share: Share | None = engine.sync_engine.get_execution_options().get("share")
    if share is None:
        yield
        return
    async with share:
        yield
