"""Running a command that asks a service: its connection, its end, and the exit code."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TypeAlias

from cli.remote.address import Address, read_address
from cli.remote.errors import CommandFailed, Interrupted
from cli.remote.service import Service

ENDING = (signal.SIGINT, signal.SIGTERM)
"""SIGHUP isn't caught: a closed terminal takes no last words, and `nohup` has it ignored."""
_received: ContextVar[list[int]] = ContextVar("received")
"""The signals that asked the running command to end, the first one first."""

Work: TypeAlias = Callable[[Service], Awaitable[int]]


def ask(url: str | None, prepare: Callable[[], Work], *, retry_seconds: float) -> int:
    """Prepare the work, let it ask the service of `--url` or the environment, and return the exit code.

    Prints why it failed. Ctrl-C and SIGTERM cancel the work, which may clean up.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream of another kind, which takes every character
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return asyncio.run(_run(read_address(url), prepare(), retry_seconds))
    except CommandFailed as failure:
        sys.stderr.write(f"{failure}\n" if str(failure) else "")
        return failure.exit_code


def is_ended_by_a_person() -> bool:
    """Return whether Ctrl-C ends the running command; SIGTERM comes from a machine that shuts down, or a timeout."""
    return _received.get()[:1] == [signal.SIGINT]


async def _run(address: Address, work: Work, retry_seconds: float) -> int:
    received: list[int] = []
    _received.set(received)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type

    def end(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        async with Service(address, retry_seconds=retry_seconds) as service:
            return await work(service)
    except asyncio.CancelledError:
        if not received:
            raise
        raise Interrupted("", signal_number=received[0]) from None
