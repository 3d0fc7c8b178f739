"""Real engines for every test: one PostgreSQL and one Valkey per session, a fresh database per test.

They come from the launcher that `make run` uses. `BREAKWATER_TEST_POSTGRES_BIN` names the folder of an installed
PostgreSQL (`initdb`, `postgres`) to use instead of the wheel's; `BREAKWATER_TEST_DATABASE_URL` names a running server,
on which databases are created and dropped.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from launcher.accounts import account_for_engines
from launcher.embedded import Engines, engines_in
from launcher.folder import DataFolder
from launcher.orphan_reaper import OrphanReaper
from launcher.postgres import Postgres
from launcher.valkey import Valkey
from tests.support.databases import Databases

MEMORY = Path("/dev/shm")  # noqa: S108
DAY_SECONDS = 86_400
MEMORY_BYTES = 4 << 30
"""Free in memory for the engines' folders: a database is made there in 25 ms instead of 130 (2026-11-30)."""
# A test that crashes the server still finds its data (the kernel has it); only a machine that loses power would not.
TEST_POSTGRES_SETTINGS = {"fsync": "off", "shared_buffers": "64MB", "max_wal_size": "1GB"}


@dataclass(frozen=True)
class SessionEngines:
    """Where this session's servers are: `database_url` is of the maintenance database."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class OwnEngines:
    """A pair of engines that one test may kill and start again; both URLs stay valid."""

    postgres: Postgres
    valkey: Valkey

    @property
    def database_url(self) -> str:
        """A migrated database."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """An empty Valkey."""
        return self.valkey.url


@pytest.fixture(scope="session")
def engines() -> Iterator[SessionEngines]:
    """One PostgreSQL and one Valkey for the whole session."""
    given = os.environ.get("BREAKWATER_TEST_DATABASE_URL")
    with _folder() as folder:
        pair = _engines_in(folder)
        pair.valkey.create()
        pair.valkey.start()
        try:
            if not given:
                pair.postgres.create()
                pair.postgres.start()
            yield SessionEngines(database_url=given or pair.postgres.url, redis_url=pair.valkey.url)
        finally:
            pair.stop()


@pytest.fixture(scope="session")
def databases(engines: SessionEngines) -> Iterator[Databases]:
    """The databases on the session's PostgreSQL."""
    with Databases(engines.database_url) as databases:
        yield databases


@pytest.fixture(scope="session")
def unconfigured_template(databases: Databases) -> Iterator[str]:
    """The name of a migrated database without sessions, in which no configuration is committed."""
    with databases.copy_of("template1") as url:
        _in_thread(_migrate, url)
        yield urlsplit(url).path.lstrip("/")


@pytest.fixture(scope="session")
def migrated_template(databases: Databases, unconfigured_template: str) -> Iterator[str]:
    """The name of a migrated database without sessions; `echo` stands in for every provider there."""
    with databases.copy_of(unconfigured_template) as url:
        _simulate(url)
        template = urlsplit(url).path.lstrip("/")
        databases.keep_ready(template)
        yield template


@pytest.fixture
def database_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database; dropped after the test, even with sessions connected."""
    with databases.copy_of(migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """The URL of one migrated database, for the tests that look only at rows of their own."""
    with databases.copy_of(migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """The URL of one migrated database for the tests of a module that do to all of it what they like."""
    with databases.copy_of(migrated_template) as url:
        yield url


@pytest.fixture
def unconfigured_database_url(databases: Databases, unconfigured_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database in which no configuration is committed."""
    with databases.copy_of(unconfigured_template) as url:
        yield url


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """The URL of a fresh database without any tables; dropped after the test."""
    with databases.copy_of("template1") as url:
        yield url


@pytest.fixture(scope="session")
def redis_cleaner(engines: SessionEngines) -> Iterator["redis.Redis"]:
    """A client that empties the session's Redis; to make one takes longer than all that it does."""
    with redis.Redis.from_url(engines.redis_url) as client:
        yield client


@pytest.fixture
def redis_url(engines: SessionEngines, redis_cleaner: "redis.Redis") -> str:
    """The URL of an empty Redis."""
    redis_cleaner.flushall()
    return engines.redis_url


@pytest.fixture(scope="session")
def migrated_data() -> Iterator[Path]:
    """The data of a PostgreSQL that doesn't run, for copies; its database is migrated."""
    with _folder() as folder:
        postgres = _engines_in(folder).postgres
        postgres.create()
        postgres.start()
        try:
            _in_thread(_migrate, postgres.url)
            _simulate(postgres.url)
        finally:
            postgres.stop()
        yield postgres.data


@pytest.fixture
def own_engines(migrated_data: Path) -> Iterator[OwnEngines]:
    """Engines of this test alone, to be killed and started again; the database is migrated."""
    with _folder() as folder:
        pair = _engines_in(folder)
        subprocess.run(["cp", "-a", migrated_data, pair.postgres.data], check=True)
        pair.start()
        try:
            yield OwnEngines(postgres=pair.postgres, valkey=pair.valkey)
        finally:
            pair.stop()


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """A Valkey of a module alone, to be reconfigured."""
    with _folder() as folder:
        valkey = _engines_in(folder).valkey
        valkey.create()
        valkey.start()
        try:
            yield valkey
        finally:
            valkey.stop()


class _folder:  # noqa: N801 (a context manager, used like a function)
    """A held data folder with an orphan reaper, removed at the end; a killed run leaves no server."""

    def __enter__(self) -> DataFolder:
        self.held = DataFolder(
            Path(tempfile.mkdtemp(prefix="breakwater-test-", dir=engines_folder())), account_for_engines()
        ).hold()
        self.reaper = OrphanReaper(self.held.path)
        return self.held

    def __exit__(self, *_: object) -> None:
        self.reaper.dismiss()
        self.held.release()
        shutil.rmtree(self.held.path)


def engines_folder() -> str | None:
    """Return a folder in memory, if there is room in it; None for the temporary one."""
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        return None
    for left in MEMORY.glob("breakwater-test-*"):  # by a run that was killed
        with suppress(FileNotFoundError):  # another run ended, and removed its own
            if time.time() - left.stat().st_mtime > DAY_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    return str(MEMORY)


def _engines_in(folder: DataFolder) -> Engines:
    installed = os.environ.get("BREAKWATER_TEST_POSTGRES_BIN")
    return engines_in(
        folder,
        postgres_settings=TEST_POSTGRES_SETTINGS,
        postgres_binaries=Path(installed) if installed else None,
    )


def _migrate(url: str) -> None:
    from db.migrate import upgrade  # noqa: PLC0415 (tests that need no tables run without it)

    upgrade(url)


def _simulate(url: str) -> None:
    from tests.support.configurations import SIMULATED, commit_at  # noqa: PLC0415 (likewise)

    commit_at(url, SIMULATED)


def _in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run outside any event loop that the test runner has set up here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()
