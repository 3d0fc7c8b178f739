"""A clock for work on a machine that others load: it leaves out how long the work waited for a CPU."""

import time
from collections.abc import Callable
from pathlib import Path


def clock_of(*pids: int) -> Callable[[], float]:
    """Return a clock, now at 0 seconds, that stands still while the main thread of any of these processes could run and
    another program has its CPU. On an idle machine it is the time on the wall.
    """
    started, waited = time.perf_counter(), _waited_for_cpu(pids)
    return lambda: time.perf_counter() - started - (_waited_for_cpu(pids) - waited)


def _waited_for_cpu(pids: tuple[int, ...]) -> float:
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9
