"""A supervised process: it is restarted when it dies, with growing pauses while it dies early."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from launcher.errors import EngineError

log = structlog.get_logger()

EARLY_SECONDS = 2
"""A process that lived shorter than this died early; most of the time is Python's imports."""
FREE_RESTARTS = 3
"""Early deaths with an immediate restart: after a crash the kernel may need a while to free an engine's files."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10


@dataclass
class Child:
    """A process that is kept alive. `spawn` starts it; the signals end it, the second one quickly.

    `on_start` is called right after each start, before any log line.
    """

    name: str
    spawn: Callable[[], subprocess.Popen[bytes]]
    on_start: Callable[[], None]
    ending: signal.Signals = signal.SIGTERM
    hurrying: signal.Signals = signal.SIGKILL
    process: subprocess.Popen[bytes] | None = None
    early_deaths: int = 0
    started_at: float = 0
    due_at: float | None = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process and self.process.returncode is None else None

    def keep_alive(self) -> None:
        """Start the process if it is due, or note its death and plan the next start."""
        if self.process is not None and self.process.poll() is not None:
            self._note_death(self.process)
        elif self.process is None and self.due_at is not None and time.monotonic() >= self.due_at:
            self._start()

    def end(self, number: signal.Signals) -> None:
        """Ask the process to end, and don't start it again."""
        self.due_at = None
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def has_ended(self) -> bool:
        """Say whether the process doesn't run and won't be restarted."""
        return self.due_at is None and (self.process is None or self.process.poll() is not None)

    def _start(self) -> None:
        self.started_at = time.monotonic()
        self.due_at = None
        try:
            self.process = self.spawn()
        except EngineError as error:  # the previous process still runs
            log.warning("process_not_started", name=self.name, reason=str(error))
            self._plan_restart()
            return
        self.on_start()
        log.info("process_started", name=self.name, pid=self.process.pid)

    def _note_death(self, process: subprocess.Popen[bytes]) -> None:
        lived = time.monotonic() - self.started_at
        log.warning("process_died", name=self.name, pid=process.pid, exit_code=process.returncode, lived_seconds=lived)
        self.process = None
        self._plan_restart()

    def _plan_restart(self) -> None:
        now = time.monotonic()
        self.early_deaths = self.early_deaths + 1 if now - self.started_at < EARLY_SECONDS else 0
        pause = FIRST_PAUSE_SECONDS
        if self.early_deaths > FREE_RESTARTS:
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self.early_deaths - FREE_RESTARTS), LONGEST_PAUSE_SECONDS)
            log.error("process_crash_loop", name=self.name, deaths=self.early_deaths, retry_in_seconds=pause)
        self.due_at = now + pause
