"""Inspecting, awaiting and ending processes: children of this process, or stale ones of another run."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.02


def wait_until(claim: Callable[[], bool], *, seconds: float) -> bool:
    """Poll `claim` until it is true; return False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def took_lock(descriptor: int) -> bool:
    """Try to lock an open file; return whether this process has the lock."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def start_time(pid: int) -> str | None:
    """Return the start time of a process, which no later process with the same id shares; None if it has ended.

    A zombie counts as ended: in a container it may never be reaped.
    """
    if sys.platform != "linux":
        shown = _shown_by_ps(pid, "state=,lstart=")
        return None if not shown or shown.startswith("Z") else shown[1:].strip()
    try:
        # The command's name may hold spaces and brackets; the numbers start after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started


def recorded_pid(file: Path) -> int | None:
    """Return the process id in the first line of a pid file, or None if it isn't a whole number."""
    try:
        first, line_end, _ = file.read_text(encoding="utf-8").partition("\n")
        return int(first) if line_end else None
    except (OSError, ValueError):
        return None


def command_line(pid: int) -> str:
    """Return the arguments of a process joined by spaces; empty if it has ended."""
    if start_time(pid) is None:
        return ""
    if sys.platform != "linux":
        return _shown_by_ps(pid, "command=")
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_running(pid: int, started: str) -> bool:
    """Say whether the process with this id and start time still runs."""
    return start_time(pid) == started


def end_process(pid: int, started: str, *, signals: tuple[signal.Signals, ...], seconds: float) -> None:
    """Send the signals in turn, waiting `seconds` after each, and kill the process in the end.

    Works for processes that aren't our children; a process id that belongs to another process now is ignored.
    """
    for number in (*signals, signal.SIGKILL):
        if not is_running(pid, started):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_until(lambda: not is_running(pid, started), seconds=seconds)


def _shown_by_ps(pid: int, columns: str) -> str:
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", columns, "-p", str(pid)], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    return shown.stdout.strip()
