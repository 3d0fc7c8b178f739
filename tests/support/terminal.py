"""A real terminal (tmux) of a known size, in which a command runs, and what a person sees there."""

import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import PROJECT
from tests.support.programs import require_program
from tests.support.waiting import eventually

SIZES = ("COLUMNS", "LINES")
DONE = "ended with"


class Terminal:
    """Runs `breakwater` in a terminal on a tmux server of the test's own."""

    def __init__(self, socket: Path, environment: Mapping[str, str], *, columns: int, lines: int) -> None:
        self._tmux = (require_program("tmux"), "-S", str(socket), "-f", "/dev/null")
        self._environment = environment
        self._size = ("-x", str(columns), "-y", str(lines))

    def run(self, *arguments: str) -> None:
        """Begin a command; its exit code is written below it."""
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in self._environment.items())
        without = " ".join(f"-u {name}" for name in SIZES)
        # Ctrl-C reaches the shell, too, and some shells would end by it before they wrote the exit code.
        command = f"trap : INT; env {without} {given} {shlex.quote(sys.executable)} -m cli {shlex.join(arguments)}"
        command += f"; echo {DONE} $?; read _"
        self._call("new-session", "-d", "-c", str(PROJECT), *self._size, command)

    def screen(self) -> str:
        """What is to be seen now."""
        return self._call("capture-pane", "-p")

    def shows(self, *texts: str, seconds: float = 30) -> str:
        """The screen, once all of these are on it."""

        def look() -> str | None:
            screen = self.screen()
            return screen if all(text in screen for text in texts) else None

        try:
            return eventually(look, seconds=seconds, what=f"{texts}") or ""
        except AssertionError as error:
            error.add_note(self.screen())
            raise

    def press(self, key: str) -> None:
        """Press a key, such as C-c."""
        self._call("send-keys", key)

    def close(self) -> None:
        """Kill everything in it, as closing the window does."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _call(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True)
        return done.stdout


@contextmanager
def open_terminal(
    folder: Path, environment: Mapping[str, str], *, columns: int = 100, lines: int = 30
) -> Iterator[Terminal]:
    """A terminal of this size; it is closed in the end."""
    # The size is the terminal's: variables that name another one are left out.
    kept = {name: value for name, value in environment.items() if name not in SIZES}
    socket = folder / f"tmux-{secrets.token_hex(4)}"
    terminal = Terminal(socket, kept | {"LC_ALL": "C.UTF-8"}, columns=columns, lines=lines)
    try:
        yield terminal
    finally:
        terminal.close()
