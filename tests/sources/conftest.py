"""Folders to import from."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sources.file import FileSource
from tests.reading_sources import ParserHere

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
