"""Places for sign-ins, which nobody's key vouches for yet: the addresses of clients take turns at them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

from fastapi import Request

from api.fair_places import FairPlaces
from domain.errors import Overloaded

_NETWORK_BITS = 64
"""So much of an IPv6 address is given to one client, who chooses the rest."""


class SignInPlaces:
    """So many places. Where none is free, the address that has two more than the newcomer's gives up its oldest."""

    def __init__(self, count: int) -> None:
        self._places = FairPlaces(count)
        self._given: defaultdict[str, list[asyncio.Timeout]] = defaultdict(list)

    @asynccontextmanager
    async def place(self, address: str, *, wait_seconds: float) -> AsyncIterator[None]:
        """Hold a place for a client of this address. Raises Overloaded if there is none in time, or it gives it up."""
        self._have_one_give_way(address)
        place, given = self._places.place(address), asyncio.timeout(None)
        try:
            async with asyncio.timeout(wait_seconds):
                await place.__aenter__()
        except TimeoutError:
            raise _overloaded() from None
        try:
            async with given:
                self._given[address].append(given)
                yield
        except TimeoutError:
            if given.expired():
                raise _overloaded() from None
            raise
        finally:
            self._leave(address, given)
            await place.__aexit__()

    def _have_one_give_way(self, address: str) -> None:
        if self._places.free:
            return
        own = self._places.held(address) + self._places.waiting(address)
        theirs = max(self._given.values(), key=len, default=[])
        if len(theirs) >= own + 2:
            theirs.pop(0).reschedule(0)

    def _leave(self, address: str, given: asyncio.Timeout) -> None:
        if given in self._given[address]:  # or it had to give way
            self._given[address].remove(given)
        if not self._given[address]:
            del self._given[address]


def address_of(request: Request) -> str:
    """Return the address of a client, of an IPv6 one its network."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or IPv6Address(int(address) >> _NETWORK_BITS << _NETWORK_BITS))


def _overloaded() -> Overloaded:
    return Overloaded("Too many people sign in at this moment; try again.", retry_after_seconds=1)
