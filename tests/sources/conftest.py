"""Folders and databases to import from."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from sources.file.source import FileSource
from sources.sql.session import SqlConnection
from tests.support.reading_sources import ParserHere, sql_connection

OpenFile = Callable[[str], FileSource]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An import root."""
    folder = tmp_path / "imports"
    folder.mkdir()
    return folder


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A staging folder, which isn't there yet."""
    return tmp_path / "staging"


@pytest.fixture
async def open_file(root: Path, staging: Path) -> AsyncIterator[OpenFile]:
    """Open files below the root; they are closed at the end."""
    opened: list[FileSource] = []

    def open_(path: str) -> FileSource:
        opened.append(FileSource(root=root, path=path, staging_folder=staging, parser=ParserHere()))
        return opened[-1]

    yield open_
    for source in opened:
        await source.aclose()


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session that fills and changes the source, as its owner would."""
    opened = await asyncpg.connect(empty_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[SqlConnection]:
    """The source's connection, which may read all of its tables."""
    opened = sql_connection(empty_database_url)
    yield opened
    await opened.aclose()
