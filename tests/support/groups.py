"""Tests that measure how long something takes run apart from those that would slow it down.

`alone` tests run while no other test of the run does. `quiet` tests mostly wait, and need a machine that isn't busy:
they run beside each other only. A plugin of pytest: the processes that share the tests also share three locks, one to
queue and one for each group of tests that may run side by side.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Generator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest


class Group(Enum):
    """Tests that may run beside each other; those that run ALONE are the exception."""

    ORDINARY = "ordinary"
    QUIET = "quiet"
    ALONE = "alone"


class Machine:
    """What tests of several processes run on: any number of one group at once, or one alone."""

    def __init__(self, folder: Path) -> None:
        self._queue = (folder / "queue").open("w")
        self._groups = {group: (folder / group.value).open("w") for group in (Group.ORDINARY, Group.QUIET)}
        self._entered: Group | None = None

    def enter(self, group: Group) -> None:
        """Wait until a test of the group may run; first come, first served, so that none waits for ever."""
        if self._entered is group:
            return
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        for other, lock in self._groups.items():
            if other is not group:
                fcntl.flock(lock, fcntl.LOCK_EX)  # waits until all of the other group have left
                if group is not Group.ALONE:
                    fcntl.flock(lock, fcntl.LOCK_UN)
        if group is not Group.ALONE:
            fcntl.flock(self._groups[group], fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)
        self._entered = group

    def leave(self, *, next_group: Group | None) -> None:
        """Let others in, unless the next test here runs alone as well."""
        if not self._entered is next_group is Group.ALONE:
            for lock in self._groups.values():
                fcntl.flock(lock, fcntl.LOCK_UN)
            self._entered = None


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
    machine.enter(group_of(item))
    try:
        return (yield)
    finally:
        machine.leave(next_group=None if nextitem is None else group_of(nextitem))


def group_of(item: pytest.Item) -> Group:
    """Return the group of a test."""
    for group in (Group.ALONE, Group.QUIET):
        if item.get_closest_marker(group.value) is not None:
            return group
    return Group.ORDINARY
