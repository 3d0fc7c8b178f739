"""Processes of `breakwater run`, to look at and to kill."""

import json
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from launcher.accounts import Account
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """A process of `python -m cli run`."""

    process: subprocess.Popen[bytes]
    output: Path
    port: int
    data_dir: Path

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


def readable_python(user: pwd.struct_passwd) -> str:
    """A Python of this version that the account can run, with our modules and libraries; skips without one."""
    version = f"python3.{sys.version_info.minor}"
    found = [sys.executable, *(shutil.which(version, path=folder) or "" for folder in ("/usr/bin", "/usr/local/bin"))]
    account = Account(user.pw_name, user.pw_uid, user.pw_gid, switch=True)
    for python in filter(None, found):
        folders = (Path(python).resolve().parent, PROJECT / "launcher", Path(sysconfig.get_path("purelib")))
        if all(account.can_reach(folder) for folder in folders):
            return python
    return pytest.skip(f"no {version} that {user.pw_name} can run")
