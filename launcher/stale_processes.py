"""Stale processes of a killed run: recording a run's children, and ending them later."""

import json
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from launcher import postgres, valkey
from launcher.folder import write_private
from launcher.processes import end_process, start_time

GRACE_SECONDS = 3
"""Short, since the next start waits for it; leases and fences make a killed worker harmless."""
_SIGNALS_AND_SECONDS = {
    "postgres": (postgres.STOP_SIGNALS, postgres.STALE_SECONDS),
    "valkey": (valkey.STOP_SIGNALS, valkey.STALE_SECONDS),
}


class Recorded(NamedTuple):
    """A child, and when it started, which no later process with the same id shares."""

    name: str
    pid: int
    started: str


def record_children(folder: Path, pid_by_name: Iterable[tuple[str, int]]) -> None:
    """Record the run's processes, in the order of ending them.

    A process that was started just before the run was killed may be missing: services then end by themselves
    (cli/supervised.py), and engines are found by their own files.
    """
    children = [Recorded(name, pid, started) for name, pid in pid_by_name if (started := start_time(pid))]
    write_private(folder / "children.json", json.dumps(children))


def end_stale_processes(folder: Path) -> None:
    """End an earlier run's processes on this folder, in the order of a stop; the caller holds the reaper's lock."""
    recorded = folder / "children.json"
    if recorded.exists():
        for child in map(Recorded._make, json.loads(recorded.read_text(encoding="utf-8"))):
            signals, seconds = _SIGNALS_AND_SECONDS.get(child.name, ((signal.SIGTERM,), GRACE_SECONDS))
            end_process(child.pid, child.started, signals=signals, seconds=seconds)
        recorded.unlink()
    # Engines without a supervisor, such as a benchmark's, aren't recorded.
    valkey.end_stale(folder / "valkey")
    postgres.end_stale(folder / "postgres")
