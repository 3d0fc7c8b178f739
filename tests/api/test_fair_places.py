"""Places go to tenants in turns, whatever waits of another one, and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from api import large_pages
from api.authentication import Authenticator
from api.fair_places import FairPlaces
from api.idempotent_actions import AT_ONCE
from api.large_pages import LargePages
from db.engine import Connection, Engine
from domain.errors import Overloaded
from domain.scopes import Scope
from tests.support.access import bearer, make_key
from tests.support.reading_app import replace_services
from tests.support.waiting import eventually_async

A, B, C = 1, 2, 3


class Takers:
    """Requests that take a place each, and note that they have it, until they are let go."""

    def __init__(self, places: FairPlaces) -> None:
        self._places = places
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self.served: list[str] = []

    async def arrive(self, tenant_no: int, *names: str) -> None:
        """Ask for a place for each, in this order."""
        for name in names:
            self._leaving[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._take(tenant_no, name))
        await settled()

    async def leave(self, *names: str) -> None:
        """Give places back."""
        for name in names:
            self._leaving[name].set()
            await self._tasks.pop(name)
            await settled()

    async def give_up(self, name: str) -> None:
        """Ask no longer."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def end(self) -> None:
        """Leave all."""
        for name in list(self._tasks):
            await self.give_up(name)

    async def _take(self, tenant_no: int, name: str) -> None:
        async with self._places.place(tenant_no):
            self.served.append(name)
            await self._leaving[name].wait()


async def settled() -> None:
    """Let every task run on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def takers(count: int) -> AsyncIterator[Takers]:
    """Takers of so many places."""
    made = Takers(FairPlaces(count))
    yield made
    await made.end()


async def test_tenants_take_turns() -> None:
    async with takers(1) as each:
        await each.arrive(A, "a1", "a2", "a3", "a4")
        await each.arrive(B, "b1", "b2")
        await each.arrive(C, "c1")
        for _ in range(6):
            await each.leave(each.served[-1])
        assert each.served == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_a_free_place_goes_to_the_tenant_with_fewest() -> None:
    async with takers(3) as each:
        await each.arrive(A, "a1", "a2", "a3", "a4", "a5")
        await each.arrive(B, "b1", "b2")
        await each.leave("a1", "a2", "a3")
        assert each.served == ["a1", "a2", "a3", "b1", "a4", "b2"]


async def test_who_gives_up_takes_no_place_along() -> None:
    async with takers(1) as each:
        await each.arrive(A, "a1", "a2")
        await each.arrive(B, "b1", "b2")
        await each.give_up("a2")
        await each.give_up("b1")
        await each.leave("a1")
        assert each.served == ["a1", "b2"]
        await each.leave("b2")
        await each.arrive(A, "a3")
        assert each.served == ["a1", "b2", "a3"]


async def test_who_gives_up_when_served_gives_the_place_back() -> None:
    places = FairPlaces(1)

    async def take() -> None:
        async with places.place(A):
            pass

    holding = places.place(A)
    await holding.__aenter__()
    waiting = asyncio.create_task(take())
    await settled()
    await holding.__aexit__(None, None, None)  # serves the one that waits, which hasn't run since
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), places.place(B):
        assert places.waiting_in_all() == 0


async def test_a_large_page_waits_for_few_of_another_tenant() -> None:
    pages, built = LargePages(), []

    async def build(tenant_no: int) -> None:
        async with pages.place(tenant_no):
            built.append(tenant_no)
            await settled()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for tenant_no in [A] * 100 + [B, B]:
            tasks.create_task(build(tenant_no))
    assert built.index(B) <= 2
    assert (built.count(A), built.count(B)) == (100, 2)


async def test_a_tenant_has_bounded_waiting_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_pages, "MOST_WAITING", 2)
    pages = LargePages()

    async def build(tenant_no: int) -> None:
        async with pages.place(tenant_no):
            await settled()

    async with pages.place(A):
        waiting = [asyncio.create_task(build(A)) for _ in range(2)]
        await settled()
        with pytest.raises(Overloaded):
            await build(A)
        waiting.append(asyncio.create_task(build(B)))
        await settled()
    await asyncio.gather(*waiting)


async def test_an_action_of_the_installation_takes_turns_with_tenants(
    reader: httpx2.AsyncClient, engine: Engine, rows: Connection
) -> None:
    replace_services(reader, authenticator=Authenticator(engine, None))
    headers = bearer(await make_key(rows, Scope.OPERATE))
    places: FairPlaces = reader.app.state.services.action_places  # type: ignore[attr-defined]
    for _ in range(AT_ONCE):
        await places.take(A)
    waiting = [asyncio.create_task(places.take(B)) for _ in range(20)]
    pausing = asyncio.create_task(reader.post("/regions/us-east/pause", headers=headers))

    async def all_wait() -> bool:
        return places.waiting_in_all() == len(waiting) + 1

    await eventually_async(all_wait)
    for _ in range(2):
        places.give_back(A)
    assert (await pausing).status_code == 200
    assert sum(task.done() for task in waiting) < 4
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
