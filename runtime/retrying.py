"""Retrying steps, such as a transaction while the database is unavailable."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    retry_if_exception_type,
    stop_before_delay,
    wait_fixed,
)

Result = TypeVar("Result")


async def retry(
    step: Callable[[], Awaitable[Result]],
    *,
    on: tuple[type[Exception], ...],
    but_not: tuple[type[Exception], ...] = (),
    delay_seconds: float,
    log_delay: Callable[[Exception], None],
) -> Result:
    """Await `step` until it returns or raises an error outside `on`; return its result.

    After each error in `on` but not in `but_not`, `log_delay` gets the error, and the next try begins `delay_seconds`
    later. It never gives up; a cancellation ends it at once.
    """

    def log(state: RetryCallState) -> None:
        log_delay(_error_of(state))

    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, on) and not isinstance(error, but_not)),
        wait=wait_fixed(delay_seconds),
        before_sleep=log,
    )
    return await _run(retrying, step)


async def retry_within(
    step: Callable[[], Awaitable[Result]],
    *,
    on: tuple[type[Exception], ...],
    seconds: float,
    wait_seconds: Callable[[int, Any], float],
) -> Result:
    """Await `step` until it returns, or raises something else than `on`, or the next try would begin too late.

    `wait_seconds` gets how many tries failed before, and the error of the last, which is raised in the end: once
    the next try would begin `seconds` after the first. Cancelled as `retry`.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(on),
        wait=lambda state: wait_seconds(state.attempt_number - 1, _error_of(state)),
        stop=stop_before_delay(seconds),
        reraise=True,
    )
    return await _run(retrying, step)


async def _run(retrying: AsyncRetrying, step: Callable[[], Awaitable[Result]]) -> Result:
    async def attempt() -> Result:  # a coroutine function, so that tenacity awaits it
        return await step()

    try:
        result: Result = await retrying(attempt)
        return result
    finally:
        # tenacity ends in a cycle of references, so what the caller's functions hold would stay until the next
        # collection: of an import 50 MB of rows.
        retrying.iter_state.reset()


def _error_of(state: RetryCallState) -> Any:
    return state.outcome and state.outcome.exception()
