"""Places that tenants share: however many requests of one tenant wait, those of another get their turn."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairPlaces:
    """So many places. A free one goes to the waiting tenant that has fewest; of several, to that served longest ago.

    The requests of one tenant are served in their order.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}

    def held(self, tenant_no: int) -> int:
        """Return how many places a tenant has."""
        return self._held[tenant_no]

    def waiting(self, tenant_no: int) -> int:
        """Return how many requests of a tenant wait."""
        return len(self._waiting.get(tenant_no, ()))

    def waiting_in_all(self) -> int:
        """Return how many requests wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, tenant_no: int) -> AsyncIterator[None]:
        """Hold a place for a tenant's request; wait until it is its turn."""
        await self._take(tenant_no)
        try:
            yield
        finally:
            self._give_back(tenant_no)

    async def pass_through(self, tenant_no: int) -> None:
        """Hold a place until the next pass of the event loop; wait until it is the tenant's turn."""
        if self._free and not self._waiting:
            self._free -= 1
            self._held[tenant_no] += 1
        else:
            await self._take(tenant_no)
        asyncio.get_running_loop().call_soon(self._give_back, tenant_no)

    async def _take(self, tenant_no: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_no, deque()).append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(tenant_no, turn)
            else:  # served in the same moment
                self._give_back(tenant_no)
            raise

    def _leave(self, tenant_no: int, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(tenant_no, deque())
        if turn in turns:  # or it was passed over
            turns.remove(turn)
            if not turns:
                del self._waiting[tenant_no]

    def _give_back(self, tenant_no: int) -> None:
        self._free += 1
        self._held[tenant_no] -= 1
        if not self._held[tenant_no]:
            del self._held[tenant_no]
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            tenant_no = min(self._waiting, key=self._held.__getitem__)
            turns = self._waiting.pop(tenant_no)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant_no] = turns  # behind all others that wait
            if not turn.done():
                self._free -= 1
                self._held[tenant_no] += 1
                turn.set_result(None)
