"""Tests marked `alone` run while no other test of the run does: they measure how long something takes.

A plugin of pytest: the processes that share the tests also share two locks, one to queue and one to run.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

MARK = "alone"


class Machine:
    """What tests of several processes run on: any number of them at once, or one alone."""

    def __init__(self, folder: Path) -> None:
        self._queue = (folder / "queue").open("w")
        self._run = (folder / "run").open("w")
        self._is_ours = False

    def enter(self, *, alone: bool) -> None:
        """Wait until a test may run; first come, first served, so that none waits for ever."""
        if self._is_ours:
            return
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        fcntl.flock(self._run, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)
        self._is_ours = alone

    def leave(self, *, stays_alone: bool) -> None:
        """Let others in, unless the next test here runs alone as well."""
        if not (self._is_ours and stays_alone):
            fcntl.flock(self._run, fcntl.LOCK_UN)
            self._is_ours = False


_machine: pytest.StashKey[Machine] = pytest.StashKey()
_folder: pytest.StashKey[str] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("machine")
    if given:
        config.stash[_machine] = Machine(Path(given))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Name the folder of the locks to a process that gets a share of the tests."""
    node.workerinput["machine"] = node.config.stash.setdefault(_folder, tempfile.mkdtemp(prefix="breakwater-tests-"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_folder, None):
        shutil.rmtree(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Wait before the test's own time begins to run."""
    machine = item.config.stash.get(_machine, None)
    if machine is None:
        return (yield)
    machine.enter(alone=is_alone(item))
    try:
        return (yield)
    finally:
        machine.leave(stays_alone=nextitem is not None and is_alone(nextitem))


def is_alone(item: pytest.Item) -> bool:
    """Whether a test wants the machine for itself."""
    return item.get_closest_marker(MARK) is not None
