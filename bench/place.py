"""The surroundings of a benchmark: engines of its own in a temporary folder, and the service's processes on them."""

import asyncio
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import asyncpg

from bench.jobs import SIMULATED
from configuration.applying import apply
from configuration.content import Content
from db.engine import create_engine, in_transaction
from db.migrate import upgrade
from launcher.accounts import account_for_engines
from launcher.embedded import engines_in
from launcher.folder import DataFolder

ROOT = Path(__file__).parent.parent


class Place:
    """Engines for the length of a benchmark; removed at the end."""

    def __enter__(self) -> Self:
        path = Path(tempfile.mkdtemp(prefix="breakwater-bench-"))
        self._folder = DataFolder(path, account_for_engines()).hold()
        self._engines = engines_in(self._folder)
        self._engines.start()
        self.database_url = self._engines.postgres.url
        self.redis_url = self._engines.valkey.url
        self.folder = self._folder.path
        upgrade(self.database_url)
        self.apply(SIMULATED)
        return self

    def __exit__(self, *_: object) -> None:
        self._engines.stop()
        self._folder.release()
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def apply(self, content: Content) -> None:
        """Commit a configuration."""

        async def run() -> None:
            engine = create_engine(self.database_url)
            await in_transaction(engine, lambda c: apply(c, content, by="bench"))
            await engine.dispose()

        asyncio.run(run())

    @contextmanager
    def processes(self, *commands: tuple[list[str], Mapping[str, str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run these commands (arguments after python, extra environment) until the block ends."""
        running = [self.start(arguments, extra) for arguments, extra in commands]
        try:
            yield running
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(timeout=30)

    def start(self, arguments: list[str], extra: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start a command; its output goes to a file of this place."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BREAKWATER_")},
            "BREAKWATER_DATABASE_URL": self.database_url,
            "BREAKWATER_REDIS_URL": self.redis_url,
        }
        with (self._folder.path / "bench.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments], env={**environment, **extra}, stdout=log, stderr=log, cwd=ROOT
            )

    async def audit(self) -> None:
        """Audit every job that ran, and print the result; raise an error if an invariant is violated."""
        connection = await asyncpg.connect(self.database_url)
        try:
            row = await connection.fetchrow((Path(__file__).parent / "audit.sql").read_text())
        finally:
            await connection.close()
        print("audit:", ", ".join(f"{name} {value}" for name, value in dict(row).items()))
        if row["not_terminal"] or row["miscounted_jobs"] or row["cells"] != row["planned"]:
            sys.exit("the audit doesn't hold")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def cpu_seconds(processes: Iterable[subprocess.Popen[bytes]]) -> float:
    """Return the CPU time these processes have used so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Wait until the port accepts connections."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def show(name: str, values: list[float], unit: str, note: str = "") -> float:
    """Print the median with its range, and return it."""
    median = statistics.median(values)
    spread = f"({min(values):,.0f} to {max(values):,.0f})" if len(values) > 1 else ""
    print(f"  {name:<46} {median:>10,.0f} {unit} {spread} {note}".rstrip(), flush=True)
    return median
