"""Data folders and whole runs to look at and to kill."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from launcher.accounts import account_for_engines
from launcher.folder import DataFolder
from tests.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for data that the account of the engines can reach, unlike pytest's own temporary folders."""
    parent = Path(tempfile.mkdtemp(prefix="breakwater-test-"))
    parent.chmod(0o711)
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def held(data_dir: Path) -> Iterator[DataFolder]:
    """A held data folder."""
    folder = DataFolder(data_dir, account_for_engines()).hold()
    yield folder
    folder.release()


@dataclass
class Run:
    """A process of `python -m cli run`."""

    process: subprocess.Popen[bytes]
    output: Path
    port: int

    def events(self, event: str, /, **fields: Any) -> list[dict[str, Any]]:
        """The log lines of one event, so far."""
        lines = [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    def pid_of(self, name: str) -> int | None:
        """The process that was last started under this name, if it is still there."""
        started = self.events("process_started", name=name)
        pid = started[-1]["pid"] if started else None
        return pid if pid and is_alive(pid) else None

    def wait_for(self, name: str, *, seconds: float = 60) -> int:
        """The process id of a child once it is there."""
        return eventually(lambda: self.pid_of(name), seconds=seconds, what=f"{name} started: {self.output.read_text()}")

    def kill(self) -> None:
        """Kill the supervisor alone."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start_run(data_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs, each on the same data folder unless told otherwise; they are stopped at the end."""
    runs: list[Run] = []

    def start(**settings: str) -> Run:
        port = int(settings.get("PORT") or free_port())
        given = {"PORT": str(port), "DATA_DIR": str(data_dir), "SHUTDOWN_SECONDS": "5", **settings}
        output = tmp_path / f"run-{len(runs)}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", "run"],
                cwd=PROJECT,
                env={**os.environ, **{f"BREAKWATER_{name}": value for name, value in given.items()}},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        runs.append(Run(process, output, port))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
