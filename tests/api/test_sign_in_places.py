"""Sign-ins from one address, however many wait or are slow, leave other addresses their turn."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Request

from api.sign_in_places import SignInPlaces, address_of
from domain.errors import Overloaded

CROWD, ONE = "192.0.2.1", "192.0.2.2"


class Clients:
    """Clients that hold a place until they are let go."""

    def __init__(self) -> None:
        self.places = SignInPlaces(4)
        self.leave = asyncio.Event()
        self.served: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, *addresses: str) -> "list[asyncio.Task[None]]":
        """Have a client of each address come."""
        tasks = [asyncio.create_task(self._stay(address)) for address in addresses]
        self._tasks += tasks
        for _ in range(10):
            await asyncio.sleep(0)
        return tasks

    async def end(self) -> "list[BaseException | None]":
        """Let all of them go; return how each fared."""
        self.leave.set()
        return await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stay(self, address: str) -> None:
        async with self.places.place(address, wait_seconds=60):
            self.served.append(address)
            await self.leave.wait()


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.end()


async def test_a_crowd_gives_up_its_oldest_place(clients: Clients) -> None:
    oldest, *_ = await clients.come(*[CROWD] * 20)
    await clients.come(ONE)
    assert clients.served == [CROWD] * 4 + [ONE]
    assert isinstance(oldest.exception(), Overloaded)
    fared = await clients.end()
    assert [type(each) for each in fared].count(Overloaded) == 1
    assert len(clients.served) == 21


async def test_newcomers_of_one_address_get_no_more_than_their_part(clients: Clients) -> None:
    await clients.come(*[CROWD] * 8)
    await clients.come(*[ONE] * 8)
    assert clients.served.count(ONE) == 2
    assert [type(each) for each in await clients.end()].count(Overloaded) == 2


async def test_nobody_gives_way_while_there_is_room_or_among_one_address(clients: Clients) -> None:
    await clients.come(*[CROWD] * 3, ONE, *[CROWD] * 3)
    assert clients.served == [CROWD] * 3 + [ONE]
    assert await clients.end() == [None] * 7


async def test_an_error_of_a_sign_in_is_its_own(clients: Clients) -> None:
    with pytest.raises(TimeoutError):
        async with clients.places.place(ONE, wait_seconds=60):
            raise TimeoutError
    await clients.come(*[CROWD] * 4)
    assert len(clients.served) == 4


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_that_of_one_client(host: str, address: str) -> None:
    assert address_of(Request({"type": "http", "client": (host, 1), "headers": []})) == address
