"""Shares of a pool: how many connections one tenant may hold at once, so that the others find one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Overloaded

SHARE_SECONDS = 60.0
"""How long a tenant's request waits for the tenant's own requests: as long as a statement of theirs may take."""
RETRY_SECONDS = 5


class Shares:
    """Bounds each tenant to `size` connections of a pool; requests beyond wait for the tenant's own, in their order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_tenant: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_no: int) -> asyncio.Semaphore:
        """Return a tenant's share; it is forgotten once no request refers to it."""
        if (share := self._by_tenant.get(tenant_no)) is None:
            share = self._by_tenant[tenant_no] = asyncio.Semaphore(self._size)
        return share


@asynccontextmanager
async def in_share(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold a part of the engine's share, if it has one (`db.engine.for_tenant`). Raises Overloaded."""
    share: asyncio.Semaphore | None = engine.sync_engine.get_execution_options().get("share")
    if share is None:
        yield
        return
    try:
        async with asyncio.timeout(SHARE_SECONDS):
            await share.acquire()
    except TimeoutError:
        detail = "Reads of your tenant hold all the connections that one tenant may hold, and have for a minute."
        raise Overloaded(detail, retry_after_seconds=RETRY_SECONDS) from None
    try:
        yield
    finally:
        share.release()
