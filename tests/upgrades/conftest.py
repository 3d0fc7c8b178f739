"""The release before this one, unpacked once, and its processes on the stores of a test."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.releases import Release, ReleasedProcess


@pytest.fixture(scope="session")
def previous() -> Iterator[Release]:
    """The release before this one, in a folder that the account of the engines can read."""
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-"))
    folder.chmod(0o755)
    yield Release.unpack_previous(folder)
    shutil.rmtree(folder)


@pytest.fixture
def start_previous(previous: Release, tmp_path: Path) -> Iterator[Callable[..., ReleasedProcess]]:
    """Start processes of that release: `start_previous("worker", database_url=..., redis_url=...)`."""
    with ExitStack() as started:

        def start(command: str, **settings: object) -> ReleasedProcess:
            output = tmp_path / f"previous-{command}-{secrets.token_hex(4)}.log"
            return started.enter_context(previous.running(command, output, **settings))

        yield start
