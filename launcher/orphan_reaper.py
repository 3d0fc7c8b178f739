"""The orphan reaper: a process that outlives a killed run just long enough to end its children.

It reads from a pipe whose write end only the run holds, so the pipe ends with the run in any case. After an orderly
stop there are no children left to end. This works on every system, unlike a parent death signal, which only Linux has
and which a change of account clears.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from launcher.errors import EngineError
from launcher.processes import took_lock, wait_until
from launcher.stale_processes import end_stale_processes
from runtime.python import python_command

_TAKEOVER_SECONDS = 60


class OrphanReaper:
    """The reaper of one held folder."""

    def __init__(self, folder: Path) -> None:
        self._process = self._start(folder)

    def dismiss(self) -> None:
        """Close the pipe: the reaper ends the remaining processes and itself."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    @staticmethod
    def _start(folder: Path) -> subprocess.Popen[bytes]:
        """End the processes of a killed run and start a reaper for this run.

        The lock passes to the reaper without a gap, and the next run waits here for a reaper that is still at work.
        """
        lock = os.open(folder / "guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not wait_until(lambda: took_lock(lock), seconds=_TAKEOVER_SECONDS):
                raise EngineError(f"The processes of a killed run on {folder} don't end: look at them, or restart.")
            end_stale_processes(folder)
            command, environment = python_command("launcher.orphan_reaper", str(folder))
            return subprocess.Popen(  # noqa: S603
                command,
                env=environment,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(lock,),
            )
        finally:
            os.close(lock)


def main() -> None:
    """Wait for the end of the run, then end its remaining processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_stale_processes(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
