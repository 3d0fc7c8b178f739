"""Tasks are ended together, each after what it still had to do."""

import asyncio

from runtime.tasks import end_tasks


async def test_ended_tasks_have_put_their_things_in_order() -> None:
    put_in_order: list[int] = []
    at_work = asyncio.Event()

    async def work(number: int) -> None:
        try:
            at_work.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(number):
                await asyncio.sleep(0)
            put_in_order.append(number)

    tasks = [asyncio.create_task(work(number)) for number in (5, 1, 3)]
    await at_work.wait()
    await end_tasks(tasks)
    assert put_in_order == [1, 3, 5]
    assert all(task.cancelled() for task in tasks)
