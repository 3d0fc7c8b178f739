"""Processes of `breakwater run`, to look at and to kill."""

import json
import os
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


def readable_python(user: pwd.struct_passwd, copied: Path) -> str:
    """A Python of this version that the account can run; skips where it can't read our modules and libraries.

    It is this one, or its copy in a folder that all can reach: this one may lie below root's.
    """
    account = Account(user.pw_name, user.pw_uid, user.pw_gid, switch=True)
    for folder in (PROJECT / "launcher", Path(sysconfig.get_path("purelib"))):
        if not account.can_reach(folder):
            pytest.skip(f"{user.pw_name} can't read {folder}")
    if account.can_reach(Path(sys.executable).resolve().parent):
        return sys.executable
    return copy_python(copied)


def copy_python(folder: Path) -> str:
    """Copy this Python without its libraries into a folder, and return its path."""
    base, version = Path(sys.base_prefix), f"python3.{sys.version_info.minor}"
    python, program = folder / "bin" / version, folder / "bin" / "program"
    if not python.exists():
        python.parent.mkdir()
        left_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "ensurepip", "config-*")
        shutil.copytree(base / "lib" / version, folder / "lib" / version, ignore=left_out, copy_function=_link)
        _link(base / "bin" / version, program)
        for library in (base / "lib").glob("libpython*.so*"):
            _link(library, folder / "lib" / library.name)
        python.write_text(f'#!/bin/bash\nLD_LIBRARY_PATH="{folder}/lib" exec -a "$0" "{program}" "$@"\n')
        python.chmod(0o755)
    return str(python)


def _link(source: Path | str, target: Path | str) -> None:
    """Link a file, or copy it to another file system."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)
