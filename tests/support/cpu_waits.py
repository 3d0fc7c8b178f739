"""A clock for work on a machine that others load: it leaves out how long the work waited for a CPU."""

import time
from collections.abc import Callable
from pathlib import Path


def clock_of(*pids: int) -> Callable[[], float]:
    """Return a clock, now at 0 seconds, without the time for which the main thread of that process could run and
    another program had its CPU that waited longest. On an idle machine it is the time on the wall.

    Several may wait at the same time, so what the others waited isn't left out as well: the clock is never too slow.
    """
    started, waited = time.perf_counter(), [_waited_for_cpu(pid) for pid in pids]

    def seconds() -> float:
        longest = max(_waited_for_cpu(pid) - before for pid, before in zip(pids, waited, strict=True))
        return time.perf_counter() - started - longest

    return seconds


def _waited_for_cpu(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
