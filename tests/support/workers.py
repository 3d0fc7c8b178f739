"""Real workers as processes of their own."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.configurations import commit_file
from tests.support.processes import Forked, fork, run_breakwater
from tests.support.waiting import eventually


class RunningWorker(Forked):
    """A worker's process."""

    def wait_for(self, event: str, /, *, seconds: float = 20, **fields: Any) -> dict[str, Any]:
        """The first log line of an event, once it is there."""

        def look() -> list[dict[str, Any]]:
            assert self.is_alive or self.events(event, **fields), self.output.read_text()[-3000:]
            return self.events(event, **fields)

        try:
            return eventually(look, seconds=seconds, what=f"{event} {fields}")[0]
        except AssertionError as error:
            error.add_note(self.output.read_text()[-3000:])
            raise

    def pause(self) -> None:
        """Stop it where it stands, as a long swap or a debugger would; it notices nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="stopped")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        self.process.terminate()

    def stop(self, *, seconds: float = 30) -> float:
        """Ask it to stop and wait; return how long that took. Fails unless it ended in order."""
        started = time.monotonic()
        self.ask_to_stop()
        self.process.join(seconds)
        assert self.process.exitcode == 0, (self.process.exitcode, self.output.read_text()[-3000:])
        return time.monotonic() - started


@dataclass
class Fleet:
    """Workers over one pair of stores; `settings` hold for all of them unless `start` says otherwise.

    A file that a worker is given is committed first, as `breakwater config apply` does. `entry` is what they run.
    """

    database_url: str
    redis_url: str
    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: list[RunningWorker] = field(default_factory=list)
    applies_config: bool = True
    entry: Callable[[str], None] = run_breakwater

    def use_config(self, text: str) -> None:
        """Give all workers from now on a configuration file with this text."""
        path = self.folder / "breakwater.toml"
        path.write_text(text)
        self.settings = {**self.settings, "CONFIG": path}

    def start(self, count: int = 1, **settings: object) -> list[RunningWorker]:
        """Start so many workers and wait until they are at work; settings are named as in the environment."""
        started = [self.spawn(**settings) for _ in range(count)]
        for worker in started:
            worker.wait_for("worker_started")
        return started

    def spawn(self, **settings: object) -> RunningWorker:
        """Start a worker without waiting for it."""
        given = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "LOG_LEVEL": "info",
            **self.settings,
            **settings,
        }
        if self.applies_config and "CONFIG" in given:
            commit_file(self.database_url, str(given["CONFIG"]))
        environment = {f"BREAKWATER_{name}": str(value) for name, value in given.items()} | self.environment
        output = self.folder / f"worker-{len(self.workers)}.log"
        output.touch()
        self.workers.append(RunningWorker(fork("worker", environment, output, self.entry), output))
        return self.workers[-1]

    def close(self) -> None:
        for worker in self.workers:
            if worker.is_alive:
                worker.kill()
            worker.process.close()


@pytest.fixture
def fleet(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """No workers yet; those that are started are killed at the end."""
    fleet = Fleet(database_url, redis_url, tmp_path)
    yield fleet
    fleet.close()
