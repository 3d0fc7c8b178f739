"""Places that tenants share: however many requests of one tenant wait, those of another get their turn."""

import asyncio
from collections import Counter, deque

Party = int | str
"""Who shares the places: tenants by their numbers, or clients by their addresses."""


class Place:
    """A place that is taken for as long as it is entered, and may be entered again."""

    def __init__(self, places: "FairPlaces", party: Party) -> None:
        self._places, self._party = places, party

    async def __aenter__(self) -> None:
        """Wait until it is the party's turn."""
        await self._places.take(self._party)

    async def __aexit__(self, *_: object) -> None:
        """Give the place back."""
        self._places.give_back(self._party)


class FairPlaces:
    """So many places. A free one goes to the waiting tenant that has fewest; of several, to that served longest ago.

    The requests of one tenant are served in their order.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[Party] = Counter()
        self._waiting: dict[Party, deque[asyncio.Future[None]]] = {}

    @property
    def free(self) -> int:
        """How many places nobody has."""
        return self._free

    def held(self, party: Party) -> int:
        """Return how many places a tenant has."""
        return self._held[party]

    def waiting(self, party: Party) -> int:
        """Return how many requests of a tenant wait."""
        return len(self._waiting.get(party, ()))

    def waiting_in_all(self) -> int:
        """Return how many requests wait."""
        return sum(map(len, self._waiting.values()))

    def place(self, party: Party) -> "Place":
        """Return a place for a request of a tenant, which holds it while it is entered."""
        return Place(self, party)

    async def pass_through(self, party: Party) -> None:
        """Hold a place until the next pass of the event loop; wait until it is the tenant's turn."""
        if self._free and not self._waiting:
            self._free -= 1
            self._held[party] += 1
        else:
            await self.take(party)
        asyncio.get_running_loop().call_soon(self.give_back, party)

    async def take(self, party: Party) -> None:
        """Take a place; wait until it is the party's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(party, turn)
            else:  # served in the same moment
                self.give_back(party)
            raise

    def _leave(self, party: Party, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(party, deque())
        if turn in turns:  # or it was passed over
            turns.remove(turn)
            if not turns:
                del self._waiting[party]

    def give_back(self, party: Party) -> None:
        """Give a place back, to whose turn it is."""
        self._free += 1
        self._held[party] -= 1
        if not self._held[party]:
            del self._held[party]
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            party = min(self._waiting, key=self._held.__getitem__)
            turns = self._waiting.pop(party)
            turn = turns.popleft()
            if turns:
                self._waiting[party] = turns  # behind all others that wait
            if not turn.done():
                self._free -= 1
                self._held[party] += 1
                turn.set_result(None)
