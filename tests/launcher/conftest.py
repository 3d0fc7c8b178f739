"""Data folders and whole runs to look at and to kill."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.accounts import account_for_engines
from launcher.embedded import engines_in
from launcher.folder import DataFolder
from launcher.orphan_reaper import OrphanReaper
from tests.launcher.runs import PROJECT, Run
from tests.support.engines import TEST_POSTGRES_SETTINGS, engines_folder
from tests.support.processes import run_command
from tests.support.programs import require_program
from tests.support.service import free_port


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for data that the account of the engines can reach, unlike pytest's own temporary folders."""
    with reachable_folder() as parent:
        yield parent / "data"


@contextmanager
def reachable_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-", dir=engines_folder()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def folder_for_all() -> Iterator[Path]:
    """A folder that every account can read; on the disk, where files of this Python can be linked."""
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_folder() -> Iterator[Path]:
    """A data folder as an ended run leaves it that brought the schema and no configuration."""
    with reachable_folder() as parent:
        folder = DataFolder(parent / "data", account_for_engines()).hold()
        reaper = OrphanReaper(folder.path)
        engines = engines_in(folder, postgres_settings=TEST_POSTGRES_SETTINGS)
        engines.start()
        urls = {"BREAKWATER_DATABASE_URL": engines.postgres.url, "BREAKWATER_REDIS_URL": engines.valkey.url}
        migrated = run_command("migrate", environment=urls)
        assert migrated.returncode == 0, migrated
        engines.stop()
        reaper.dismiss()
        folder.release()
        yield folder.path


@pytest.fixture
def migrated_data_dir(data_dir: Path, migrated_folder: Path) -> Path:
    """The test's folder with such data in it, whose first run needn't create them."""
    copy(migrated_folder, data_dir)
    return data_dir


@pytest.fixture
def held(data_dir: Path) -> Iterator[DataFolder]:
    """A held data folder."""
    folder = DataFolder(data_dir, account_for_engines()).hold()
    yield folder
    folder.release()


@pytest.fixture
def start_run(data_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs, each on the same data folder unless another is given; they are stopped at the end."""
    with starting(data_dir, tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def lasting_run(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run for the tests of a module that leave it as it is: all of its processes are there."""
    with reachable_folder() as parent:
        copy(migrated_folder, parent / "data")
        with starting(parent / "data", tmp_path_factory.mktemp("run")) as start:
            run = start()
            run.wait_for("worker-1")
            yield run


def copy(folder: Path, to: Path) -> None:
    """Copy a data folder with the owners of its files."""
    subprocess.run([require_program("cp"), "--archive", f"{folder}/.", to], check=True)


@contextmanager
def starting(data_dir: Path, output: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(python: str = sys.executable, **settings: str) -> Run:
        port = int(settings.get("PORT") or free_port())
        given = {"PORT": str(port), "DATA_DIR": str(data_dir), "SHUTDOWN_SECONDS": "5", **settings}
        log = output / f"run-{len(runs)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [python, "-m", "cli", "run"],
                cwd=PROJECT,
                env={**os.environ, **{f"BREAKWATER_{name}": value for name, value in given.items()}},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        runs.append(Run(process, log, port, Path(given["DATA_DIR"])))
        return runs[-1]

    try:
        yield start
    finally:
        for run in runs:
            if run.process.poll() is None:
                run.stop()
