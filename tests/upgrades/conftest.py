"""The release before this one, unpacked once, and databases with its schema."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.support.releases import Release


@pytest.fixture(scope="session")
def previous() -> Iterator[Release]:
    """The release before this one, in a folder that the account of the engines can read."""
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-"))
    folder.chmod(0o755)
    yield Release.unpack_previous(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def previous_schema(engines: Any, previous: Release) -> Iterator[str]:
    """The name of a database on which the release before this one simulates; it has no sessions."""
    name = f"previous_{os.getpid()}"
    url = urlunsplit(urlsplit(engines.database_url)._replace(path=f"/{name}"))
    execute(engines.database_url, f'CREATE DATABASE "{name}"')
    for command in (["migrate"], ["config", "apply", "--simulate"]):
        ended = previous.run(*command, database_url=url, redis_url=engines.redis_url)
        assert ended.returncode == 0, ended
    yield name
    execute(engines.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def previous_database_url(engines: Any, previous_schema: str) -> Iterator[str]:
    """A database with the schema of the release before this one."""
    name = f"{previous_schema}_copy"
    execute(engines.database_url, f'CREATE DATABASE "{name}" TEMPLATE "{previous_schema}"')
    yield urlunsplit(urlsplit(engines.database_url)._replace(path=f"/{name}"))
    execute(engines.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def execute(database_url: str, statement: str) -> None:
    """Run a statement, outside any event loop that the test runner has set up here."""

    async def run() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(statement)
        await connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(run())).result()
