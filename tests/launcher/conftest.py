"""Data folders and whole runs to look at and to kill."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.accounts import account_for_engines
from launcher.folder import DataFolder
from tests.launcher.runs import PROJECT, Run
from tests.support.service import free_port


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for data that the account of the engines can reach, unlike pytest's own temporary folders."""
    parent = Path(tempfile.mkdtemp(prefix="breakwater-test-"))
    parent.chmod(0o711)
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def held(data_dir: Path) -> Iterator[DataFolder]:
    """A held data folder."""
    folder = DataFolder(data_dir, account_for_engines()).hold()
    yield folder
    folder.release()


@pytest.fixture
def start_run(data_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs, each on the same data folder unless another is given; they are stopped at the end."""
    runs: list[Run] = []

    def start(**settings: str) -> Run:
        port = int(settings.get("PORT") or free_port())
        given = {"PORT": str(port), "DATA_DIR": str(data_dir), "SHUTDOWN_SECONDS": "5", **settings}
        output = tmp_path / f"run-{len(runs)}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", "run"],
                cwd=PROJECT,
                env={**os.environ, **{f"BREAKWATER_{name}": value for name, value in given.items()}},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        runs.append(Run(process, output, port))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.stop()
