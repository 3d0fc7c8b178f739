"""Processes of the service, forked from one with everything imported: a start takes 50 ms instead of two seconds.

It is still a process of its own, that can be paused, starved and killed.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

PROJECT = Path(__file__).resolve().parents[2]
Role: TypeAlias = Literal["api", "worker"]

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.support.preloaded"])


@dataclass(frozen=True)
class Forked:
    """A process of the service; what it logs goes to `output`, a JSON object per line."""

    process: BaseProcess
    output: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def events(self, event: str, /, **fields: Any) -> list[dict[str, Any]]:
        """The log lines of one event, so far."""
        # Tests look many times, at logs of thousands of lines: only those that name the event are read.
        named = [line for line in self.output.read_text().splitlines() if line.startswith("{") and f'"{event}"' in line]
        lines = [json.loads(line) for line in named]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    def kill(self) -> None:
        """End it as a crash would, unless it has ended."""
        self.process.kill()
        self.process.join()


def run_breakwater(*arguments: str) -> None:
    """Run the command line in this process."""
    sys.argv = ["breakwater", *arguments]

    from cli.main import main  # noqa: PLC0415 - the parent doesn't need it

    main()


def fork(
    role: Role, environment: Mapping[str, str], output: Path, entry: Callable[[str], None] = run_breakwater
) -> BaseProcess:
    """Start `breakwater api` or `breakwater worker` with these variables and no other BREAKWATER_ ones.

    `entry` runs something else in its place, in a module that isn't the test's own.
    """
    process = _forks.Process(target=_run, args=([role], _whole(environment), output, output, entry), daemon=True)
    process.start()
    return process


@dataclass(frozen=True)
class Ended:
    """A command that ended, and what it wrote."""

    returncode: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Command(Forked):
    """A running `breakwater` command; its stdout goes to `output`."""

    errors: Path

    def end(self, seconds: float = 60) -> Ended:
        """Wait for its end."""
        self.process.join(seconds)
        assert not self.process.is_alive(), (self.output.read_text(), self.errors.read_text())
        return Ended(self.process.exitcode, self.output.read_text(), self.errors.read_text())


def start_command(*arguments: str, environment: Mapping[str, str], folder: Path) -> Command:
    """Start `breakwater` with these arguments and variables, in the project's folder; its output goes to `folder`."""
    output, errors = folder / "output", folder / "errors"
    for path in (output, errors):
        path.write_text("")
    process = _forks.Process(target=_run, args=(arguments, _whole(environment), output, errors), daemon=True)
    process.start()
    return Command(process, output, errors)


def run_command(*arguments: str, environment: Mapping[str, str], seconds: float = 60) -> Ended:
    """Run `breakwater` with these arguments and variables, in the project's folder, to its end."""
    with TemporaryDirectory() as folder:
        return start_command(*arguments, environment=environment, folder=Path(folder)).end(seconds)


def _whole(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BREAKWATER_")}
    return {**kept, **environment}


def _run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    errors: Path,
    entry: Callable[..., None] = run_breakwater,
) -> None:
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    os.environ.clear()  # the process that was forked may have been started before this test
    os.environ.update(environment)
    for path, stream in ((output, sys.stdout), (errors, sys.stderr)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(PROJECT)
    entry(*arguments)
