"""Look-ups of callers: many at once are one statement, and what ended meanwhile is found by no other request."""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import pytest

from api import look_ups as look_ups_module
from api.callers import ANYBODY
from api.look_ups import Found, LookUps
from db.engine import Connection, Engine

GONE = b"gone"


class HeldLook:
    """Finds a caller for every digest but GONE once it is let go; counts its statements."""

    def __init__(self) -> None:
        self.asked: list[Sequence[bytes]] = []
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, _: Connection, digests: Sequence[bytes]) -> Mapping[bytes, Found]:
        """Find them."""
        self.asked.append(digests)
        self.begun.set()
        await self.release.wait()
        if self.failure is not None:
            raise self.failure
        return {digest: Found(ANYBODY, None) for digest in digests if digest != GONE}


@pytest.fixture
def look() -> HeldLook:
    return HeldLook()


@pytest.fixture
def look_ups(engine: Engine, look: HeldLook) -> LookUps:
    return LookUps(engine, look)


def ask(look_ups: LookUps, count: int) -> "list[asyncio.Task[object]]":
    """Ask for so many callers at once, the last of whom is gone."""
    digests = [*(b"%d" % number for number in range(count - 1)), GONE]
    return [asyncio.create_task(look_ups.caller_of(digest)) for digest in digests]


async def test_a_flood_of_look_ups_is_two_statements(look_ups: LookUps, look: HeldLook) -> None:
    first = asyncio.create_task(look_ups.caller_of(b"first"))
    await look.begun.wait()
    flood = ask(look_ups, 100)
    await asyncio.sleep(0)
    look.release.set()
    assert await asyncio.gather(first, *flood) == [ANYBODY] * 100 + [None]
    assert [len(each) for each in look.asked] == [1, 100]


async def test_those_that_wait_fail_together(look_ups: LookUps, look: HeldLook) -> None:
    first = asyncio.create_task(look_ups.caller_of(b"first"))
    await look.begun.wait()
    flood = ask(look_ups, 100)
    await asyncio.sleep(0)
    look.failure = asyncpg.ConnectionFailureError("away")
    look.release.set()
    found = await asyncio.gather(first, *flood, return_exceptions=True)
    assert {type(each) for each in found} == {asyncpg.ConnectionFailureError}
    assert len(look.asked) == 2
    look.failure = None
    assert await look_ups.caller_of(b"first") == ANYBODY


@pytest.mark.parametrize("is_under_way", [True, False])
async def test_nobody_waits_for_one_that_gave_up(look_ups: LookUps, look: HeldLook, *, is_under_way: bool) -> None:
    before = None if is_under_way else asyncio.create_task(look_ups.caller_of(b"before"))
    if before is not None:
        await look.begun.wait()
    leading = asyncio.create_task(look_ups.caller_of(b"leading"))
    await (look.begun.wait() if is_under_way else asyncio.sleep(0))
    leading.cancel()
    await asyncio.wait([leading])
    look.release.set()
    assert await look_ups.caller_of(b"next") == ANYBODY
    assert before is None or await before == ANYBODY


async def test_what_is_forgotten_during_a_look_up_is_looked_up_again(look_ups: LookUps, look: HeldLook) -> None:
    before = asyncio.create_task(look_ups.caller_of(b"ended"))
    await look.begun.wait()
    look_ups.forget(b"ended")
    look.release.set()
    assert await before == ANYBODY  # it came before the end
    for _ in range(2):
        assert await look_ups.caller_of(b"ended") == ANYBODY
    assert len(look.asked) == 2


@pytest.mark.parametrize("is_about_to_expire", [True, False])
async def test_what_was_looked_up_too_long_ago_or_has_expired_serves_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, is_about_to_expire: bool
) -> None:
    """Whoever comes first after a pause is looked up, too: no renewal has run meanwhile."""
    asked: list[Sequence[bytes]] = []

    async def find(_: Connection, digests: Sequence[bytes]) -> Mapping[bytes, Found]:
        asked.append(digests)
        return {digest: Found(ANYBODY, 0.0 if is_about_to_expire else None) for digest in digests}

    if not is_about_to_expire:
        monkeypatch.setattr(look_ups_module, "FRESH_SECONDS", 0.0)
    look_ups = LookUps(engine, find)
    for _ in range(3):
        assert await look_ups.caller_of(b"a") == ANYBODY
        assert look_ups.fresh_caller(b"a") is None
    assert len(asked) == 3
