"""Waiting for something to become true, with a deadline; tests never sleep for a guessed while."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.02


def eventually(look: Callable[[], T], *, seconds: float = 10, what: str = "") -> T:
    """Call `look` until it gives something true and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or inspect.getsource(look).strip()}")
        time.sleep(_POLL_SECONDS)


async def eventually_async(look: Callable[[], Awaitable[T]], *, seconds: float = 10, what: str = "") -> T:
    """Await `look` until it gives something true and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if found := await look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or inspect.getsource(look).strip()}")
        await asyncio.sleep(_POLL_SECONDS)
