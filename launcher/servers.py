"""The common part of the embedded servers: starting, awaiting readiness, and ending."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from launcher.errors import EngineError
from launcher.processes import wait_until

START_RETRY_SECONDS = 10
"""How long a start is retried: after SIGKILL, children of the old server may hold its memory or its lock."""
RETRY_DELAY_SECONDS = 0.2
_LOG_LINES = 5


def start_server(
    spawn: Callable[[], subprocess.Popen[bytes]],
    is_ready: Callable[[], bool],
    *,
    name: str,
    log: Path,
    ready_seconds: float,
) -> None:
    """Start a server and wait until it is ready; restart it for a while if it ends before.

    Raises EngineError with the end of its log, or as `spawn` does.
    """

    def start() -> None:
        process = spawn()
        if not wait_until(lambda: process.poll() is not None or is_ready(), seconds=ready_seconds):
            raise EngineError(f"{name} isn't ready after {ready_seconds:g} s; see {log}.")
        if process.poll() is not None:
            raise EngineError(f"{name} doesn't start; the end of {log} says:\n{_tail(log)}")

    Retrying(
        retry=retry_if_exception_type(EngineError),
        stop=stop_after_delay(START_RETRY_SECONDS),
        wait=wait_fixed(RETRY_DELAY_SECONDS),
        reraise=True,
    )(start)


def end_server(process: subprocess.Popen[bytes], signals: Iterable[signal.Signals], *, seconds: float) -> None:
    """Send the signals in turn, waiting `seconds` after each."""
    for number in signals:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
