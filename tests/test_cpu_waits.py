"""The clock that leaves out how long work waited for a CPU."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.cpu_waits import clock_of

WORK_SECONDS = 0.3


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A process that is always busy, on the one CPU that this process may use meanwhile."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield busy.pid
    busy.kill()
    busy.wait()
    os.sched_setaffinity(0, allowed)


def test_waits_of_two_processes_at_the_same_time_are_left_out_once(neighbour: int) -> None:
    """One of them waits at any moment: without the waits of both nothing is left of the work of either."""
    clock, before = clock_of(os.getpid(), neighbour), time.thread_time()
    while time.thread_time() < before + WORK_SECONDS:
        pass
    assert clock() > WORK_SECONDS / 3
