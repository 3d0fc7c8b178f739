"""The fixtures of tests that run real workers; a folder's conftest takes those it needs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from db.engine import Connection
from tests.fleet import Fleet, connected


@pytest.fixture
def fleet(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """No workers yet; those that are started are killed at the end."""
    fleet = Fleet(database_url, redis_url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection to look with."""
    async with connected(database_url) as (connection,):
        yield connection
