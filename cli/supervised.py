"""Commands as processes of a run: each ends with its supervisor, even if that was killed.

Standard input is a pipe whose only write end is the supervisor's, which never writes: reading returns when the
supervisor has ended. The record of children would miss a child that was started just before its supervisor was killed.
"""

import os
import signal
import sys
import threading
import time

from cli import main as commands
from launcher.stale_processes import GRACE_SECONDS


def main() -> None:
    """Run the command of this process's arguments until it ends or its supervisor does."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    commands.main()


def _end_with_supervisor() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
