"""`breakwater` against one service, with a home folder of the test's own."""

import fcntl
from pathlib import Path

from tests.support.processes import Command, Ended, run_command, start_command


class CommandLine:
    """Runs `breakwater` against one service."""

    def __init__(self, url: str, home: Path, key: str | None = None, **variables: str) -> None:
        self.url = url
        self.home = home
        given = {"BREAKWATER_URL": url, "XDG_STATE_HOME": str(home), "COLUMNS": "200", **variables}
        self.environment = given if key is None else {**given, "BREAKWATER_API_KEY": key}

    def __call__(self, *arguments: str) -> Ended:
        return run_command(*arguments, environment=self.environment)

    def start(self, *arguments: str) -> Command:
        """Start a command without waiting for it."""
        return start_command(*arguments, environment=self.environment, folder=self.home)

    @property
    def kept_keys(self) -> list[str]:
        """The Idempotency-Keys of submissions that weren't answered, as far as this machine knows."""
        folder = self.home / "breakwater" / "submissions"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @property
    def unlocked_keys(self) -> list[str]:
        """Those of the kept keys that no running command holds."""
        return [name for name in self.kept_keys if _is_unlocked(self.home / "breakwater" / "submissions" / name)]


def _is_unlocked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
