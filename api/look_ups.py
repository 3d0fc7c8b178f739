"""Look-ups of callers by digests in PostgreSQL; what one found is used for less than a second.

What ended, a revoked key for example, is refused by every process within that second, whatever became of Redis.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from api.callers import Caller
from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Connection, Engine, connect

FRESH_SECONDS = 0.9
"""How long a look-up serves, from its start; a revocation takes effect everywhere within a second."""
RENEW_SECONDS = 0.4
"""The age at which the next request renews a look-up, without waiting for it."""
FORGOTTEN_SECONDS = 10.0
"""How long a digest that isn't used is renewed together with others."""
MOST = 10_000
"""Look-ups that are kept at once; one more forgets all but those of valid callers that are fresh."""

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """A caller, who stays valid for `valid_seconds` (None: until somebody ends that)."""

    caller: Caller
    valid_seconds: float | None


Find = Callable[[Connection, Sequence[bytes]], Awaitable[Mapping[bytes, Found]]]
"""Finds the valid callers among those with these digests."""


@dataclass(slots=True)
class _LookUp:
    """What a look-up found: the caller, or None if there is no valid one. Times are of the monotonic clock."""

    caller: Caller | None
    looked_at: float
    valid_until: float
    used_at: float

    def is_fresh(self, now: float) -> bool:
        return now < min(self.looked_at + FRESH_SECONDS, self.valid_until)


class _Batch:
    """Digests that are looked up together, once the look-up before has ended."""

    def __init__(self, digests: set[bytes]) -> None:
        self.digests = digests
        self.found: asyncio.Future[dict[bytes, _LookUp]] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """Have those that wait fail like the request that looked for all; if that was cancelled, they ask again."""
        is_error = isinstance(error, Exception)
        self.found.set_exception(error if is_error else ConnectionError("The look-up was given up."))
        self.found.exception()  # there may be nobody who waits


class LookUps:
    """Finds callers by digests."""

    def __init__(self, engine: Engine, find: Find) -> None:
        self._engine = engine
        self._find = find
        self._kept: dict[bytes, _LookUp] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._gathering: _Batch | None = None
        self._looking = asyncio.Lock()
        self._forgotten: list[set[bytes]] = []

    async def caller_of(self, digest: bytes) -> Caller | None:
        """Return the valid caller with this digest, None if there is none. Raises one of UNAVAILABLE."""
        if (caller := self.fresh_caller(digest)) is not None:
            return caller
        now = time.monotonic()
        found = self._kept.get(digest)
        if found is None or not found.is_fresh(now):
            found = await self._look_up_with_others(digest)
        found.used_at = now
        return found.caller

    def fresh_caller(self, digest: bytes) -> Caller | None:
        """Return the valid caller with this digest if a look-up still serves; None if that can't be told at once."""
        now = time.monotonic()
        found = self._kept.get(digest)
        if found is None or found.caller is None or not found.is_fresh(now):
            return None
        if now - found.looked_at > RENEW_SECONDS:
            self._renew_soon(now)
        found.used_at = now
        return found.caller

    def forget(self, digest: bytes) -> None:
        """Look this one up again at its next use; what a look-up finds that is under way serves no other."""
        self._kept.pop(digest, None)
        for each in self._forgotten:
            each.add(digest)

    async def _look_up_with_others(self, digest: bytes) -> _LookUp:
        """Look up, in one statement, all digests that were asked for while the one before ran: a flood costs little."""
        if (batch := self._gathering) is not None:
            batch.digests.add(digest)
            return (await asyncio.shield(batch.found))[digest]
        batch = self._gathering = _Batch({digest})
        try:
            async with self._looking:
                self._gathering = None
                found = await self._look_up(list(batch.digests))
        except BaseException as error:
            if self._gathering is batch:
                self._gathering = None
            batch.fail(error)
            raise
        batch.found.set_result(found)
        return found[digest]

    def _renew_soon(self, now: float) -> None:
        """Look the digests in use up again, in the background; one look-up at a time."""
        if self._renewing is None or self._renewing.done():
            in_use = [
                digest
                for digest, found in self._kept.items()
                if found.caller is not None and now - found.used_at < FORGOTTEN_SECONDS
            ]
            self._renewing = asyncio.create_task(self._renew(in_use))

    async def _renew(self, digests: list[bytes]) -> None:
        try:
            await self._look_up(digests)
        except (*UNAVAILABLE, *REJECTED) as error:  # the next request looks its own up itself, and says so
            log.warning("renewal_of_keys_failed", error=f"{type(error).__name__}: {error}")

    async def _look_up(self, digests: list[bytes]) -> dict[bytes, _LookUp]:
        began = time.monotonic()
        forgotten: set[bytes] = set()
        self._forgotten.append(forgotten)
        try:
            async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
                valid = await self._find(connection, digests)
        finally:
            self._forgotten.remove(forgotten)
        found = {digest: _kept(valid.get(digest), began) for digest in digests}
        for digest, look_up in found.items():
            if (before := self._kept.get(digest)) is not None:
                look_up.used_at = before.used_at
        if len(self._kept) + len(found) > MOST:
            self._kept = {d: kept for d, kept in self._kept.items() if kept.caller and kept.is_fresh(began)}
        self._kept.update({digest: look_up for digest, look_up in found.items() if digest not in forgotten})
        return found


def _kept(found: Found | None, looked_at: float) -> _LookUp:
    if found is None:
        return _LookUp(None, looked_at, looked_at + FRESH_SECONDS, looked_at)
    valid_seconds = FRESH_SECONDS if found.valid_seconds is None else found.valid_seconds
    return _LookUp(found.caller, looked_at, looked_at + valid_seconds, looked_at)
