"""Looks at the stores that many requests share, so that a flood of them costs no more than one after the other."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Found]):
    """What a look found, and when it began, by the monotonic clock."""

    found: Found
    began_at: float

    @property
    def age_seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self.began_at


class SharedLook(Generic[Found]):
    """Looks once for all that ask at the same time, and for those that come within `fresh_seconds` after it began."""

    def __init__(self, look: Callable[[], Awaitable[Found]], *, fresh_seconds: float = 0.0) -> None:
        self._look = look
        self._fresh_seconds = fresh_seconds
        self._last: Seen[Found] | None = None
        self._looking = asyncio.Lock()

    async def __call__(self) -> Seen[Found]:
        """Return what was found, by a look that began at most `fresh_seconds` before this call. Raises as the look."""
        came_at = time.monotonic()
        async with self._looking:
            if self._last is None or self._last.began_at < came_at - self._fresh_seconds:
                began_at = time.monotonic()
                self._last = Seen(await self._look(), began_at)
            return self._last
