"""Daemon threads: the process ends without waiting for a read that blocks in a hanging file system."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(name: str, work: Callable[[], T]) -> "Future[T]":
    """Run `work` in a daemon thread."""
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised to the caller of the future
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
