"""Releases as processes: the one before this, unpacked, beside the one of this tree.

`tests/upgrades/previous_release.tar.xz` holds it, so that the tests need no history of the repository, and says of
which commit it was made; docs/explanation/how-releases-mix.md has the command that makes it.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.support.processes import PROJECT, Ended, Role
from tests.support.service import free_port
from tests.support.waiting import eventually

ARCHIVE = Path(__file__).parents[1] / "upgrades" / "previous_release.tar.xz"
STOP_SECONDS = 20
METADATA = "Metadata-Version: 2.4\nName: breakwater\nVersion: {version}\n"


@dataclass(frozen=True)
class ReleasedProcess:
    """A process of a release that is not imported here; what it logs goes to `output`, a JSON object per line."""

    process: "subprocess.Popen[bytes]"
    output: Path
    url: str

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def events(self, event: str, /, **fields: Any) -> list[dict[str, Any]]:
        """The log lines of one event, so far."""
        lines = [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    def wait_for(self, event: str, /, *, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """The first log line of an event, once it is there."""

        def look() -> list[dict[str, Any]]:
            found = self.events(event, **fields)
            assert found or self.is_alive, self.output.read_text()[-3000:]
            return found

        return eventually(look, seconds=seconds, what=f"{event} {fields}")[0]

    def stop(self) -> int:
        """Ask it to end, and kill it if it doesn't; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would, unless it has ended."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Release:
    """A release in a folder. `version` is what its processes say they are."""

    folder: Path
    version: str

    @classmethod
    def unpack_previous(cls, folder: Path) -> "Release":
        """Unpack the release before this one into a folder, with the note by which it knows its version and commit."""
        with tarfile.open(ARCHIVE) as archive:
            # Set, not given: Python below 3.11.4 doesn't know the argument, and 3.12 warns where neither says how.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # type: ignore[assignment]
            archive.extractall(folder)  # noqa: S202 - its filter is set above
            commit = archive.pax_headers["comment"]
        named = f"0.1.0+{commit[:7]}"
        noted = folder / "breakwater-0.1.0.dist-info"
        noted.mkdir()
        (noted / "METADATA").write_text(METADATA.format(version=named))
        return cls(folder, named)

    def run(self, *arguments: str, seconds: float = 60, **settings: object) -> Ended:
        """Run a command of its `breakwater` to the end."""
        ended = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.folder,
            env=self._environment(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    @contextmanager
    def running(self, command: Role | str, output: Path, **settings: object) -> Iterator[ReleasedProcess]:
        """Run `breakwater api`, `worker` or `run`, which ends with this process if not before."""
        port = free_port()
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.supervised", command],
                cwd=self.folder,
                env=self._environment({"PORT": port, **settings}),
                stdin=subprocess.PIPE,  # it ends when nobody holds the other end any more
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started = ReleasedProcess(process, output, f"http://127.0.0.1:{port}")
        try:
            yield started
        finally:
            if started.is_alive:
                started.stop()
            if process.stdin is not None:
                process.stdin.close()

    def _environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BREAKWATER_")}
        given = {f"BREAKWATER_{name.upper()}": str(value) for name, value in settings.items()}
        return {**kept, **given, "PYTHONPATH": str(self.folder)}


THIS = Release(PROJECT, version("breakwater"))
"""The release of this tree."""
