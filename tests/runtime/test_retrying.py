"""Retrying: an error that passes delays a step, everything else ends it, and so does a cancellation."""

import asyncio
import gc
import sys
import weakref
from collections.abc import Awaitable, Callable

import pytest

from runtime.retrying import retry, retry_within

Step = Callable[[], Awaitable[str]]


def failing(*errors: BaseException) -> Step:
    """Return a step that raises these, one at each try, and then returns."""
    left = list(errors)

    async def step() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return step


async def test_a_step_is_repeated_until_it_returns_and_each_delay_is_logged() -> None:
    first, second = ConnectionError("first"), TimeoutError("second")
    logged: list[Exception] = []
    result = await retry(failing(first, second), on=(OSError,), delay_seconds=0, log_delay=logged.append)
    assert (result, logged) == ("done", [first, second])


async def test_a_function_that_returns_something_to_await_will_do() -> None:
    step, logged = failing(ConnectionError()), list[Exception]()
    assert await retry(lambda: step(), on=(OSError,), delay_seconds=0, log_delay=logged.append) == "done"  # noqa: PLW0108
    assert len(logged) == 1


@pytest.mark.parametrize("error", [ValueError("other"), TimeoutError("excepted")])
async def test_another_error_ends_it_as_it_was_raised(error: Exception) -> None:
    logged: list[Exception] = []
    with pytest.raises(type(error)) as raised:
        await retry(failing(error), on=(OSError,), but_not=(TimeoutError,), delay_seconds=0, log_delay=logged.append)
    assert (raised.value, logged) == (error, [])


async def test_a_cancellation_between_two_tries_ends_it() -> None:
    waits = asyncio.Event()
    step = failing(*[ConnectionError()] * 3)
    task = asyncio.ensure_future(retry(step, on=(OSError,), delay_seconds=3600, log_delay=lambda _: waits.set()))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_within_a_try_ends_it_and_is_not_repeated() -> None:
    tries = 0
    begun = asyncio.Event()

    async def step() -> None:
        nonlocal tries
        tries += 1
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(retry(step, on=(Exception,), delay_seconds=0, log_delay=lambda _: None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (task.cancelled(), tries) == (True, 1)


async def test_a_time_limit_around_it_ends_it_though_such_errors_are_repeated() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await retry(failing(*[OSError()] * 3), on=(OSError,), delay_seconds=3600, log_delay=lambda _: None)


async def test_one_that_fails_beside_it_ends_it() -> None:
    waits = asyncio.Event()

    async def fail() -> None:
        await waits.wait()
        raise LookupError

    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            group.create_task(
                retry(failing(OSError()), on=(OSError,), delay_seconds=3600, log_delay=lambda _: waits.set())
            )
            group.create_task(fail())
    assert raised.group_contains(LookupError)


async def test_within_a_limit_the_waits_follow_the_tries_and_their_errors() -> None:
    first, second = OSError("first"), OSError("second")
    asked: list[tuple[int, Exception]] = []

    def wait_seconds(tries: int, error: Exception) -> float:
        asked.append((tries, error))
        return 0

    assert await retry_within(failing(first, second), on=(OSError,), seconds=60, wait_seconds=wait_seconds) == "done"
    assert asked == [(0, first), (1, second)]


async def test_a_try_that_would_begin_after_the_limit_is_not_made() -> None:
    first, second = OSError("first"), OSError("second")
    step = failing(first, second)
    with pytest.raises(OSError, match="second") as raised:
        await retry_within(step, on=(OSError,), seconds=60, wait_seconds=lambda tries, _: tries * 3600)
    assert raised.value is second


class Rows:
    """Something large that the caller's functions hold."""


@pytest.mark.parametrize("failures", [0, 2])
async def test_what_its_functions_hold_is_freed_without_a_collection(failures: int) -> None:
    """Of an import it is 50 MB of rows, and a collection may be a minute away."""

    async def retry_for_ever() -> "weakref.ref[Rows]":
        rows, step = Rows(), failing(*[ConnectionError()] * failures)
        await retry(step, on=(OSError,), delay_seconds=0, log_delay=lambda _: sys.stdout.write(str(rows)))
        return weakref.ref(rows)

    async def retry_for_a_minute() -> "weakref.ref[Rows]":
        rows, step = Rows(), failing(*[ConnectionError()] * failures)
        await retry_within(step, on=(OSError,), seconds=60, wait_seconds=lambda *_: 0 if rows else 1)
        return weakref.ref(rows)

    gc.disable()
    try:
        assert [(await run())() for run in (retry_for_ever, retry_for_a_minute)] == [None, None]
    finally:
        gc.enable()
