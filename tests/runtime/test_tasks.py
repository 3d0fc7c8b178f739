"""Tasks end though they swallow a cancellation."""

import asyncio
from contextlib import suppress

from runtime.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0
    at_work = asyncio.Event()

    async def stubborn() -> None:
        nonlocal swallowed
        at_work.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed += 1
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.Event().wait())]
    await at_work.wait()
    async with asyncio.timeout(5):
        await end_tasks(tasks)
    assert swallowed == 1
    assert all(task.cancelled() for task in tasks)
