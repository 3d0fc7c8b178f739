"""Ending tasks, whatever runs in them."""

import asyncio
from collections.abc import Iterable

AGAIN_SECONDS = 0.2


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel these until they have ended.

    Once isn't enough: on Python 3.11 `asyncio.wait_for`, which the Redis client uses, swallows a cancellation that
    comes with what it waits for. What a task raises stays in it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
