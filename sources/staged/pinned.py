"""Open files to stage: pinned by a hash of the content, which is checked again once they are converted."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

from sources.staged.content import Content

_CHUNK = 1 << 20


class Pinned(Protocol):
    """The rows of an open file, which `sources/<type>/conversion.py` makes by its function `pin`."""

    @property
    def form(self) -> str:
        """How it is read: words of letters joined by `-`, as used in file names."""
        ...

    @property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal digits, of everything that determines the rows."""
        ...

    @property
    def has_changed(self) -> bool:
        """Whether it was written to since it was pinned."""
        ...

    def convert(self, to: Path) -> Content:
        """Write its rows to `to`, as a `StagedWriter` does. Raises Unreadable if the content doesn't have its form."""
        ...


def content_hash(file: int) -> str:
    """Return the SHA-256 of an open file."""
    hashed = hashlib.sha256()
    offset = 0
    while chunk := os.pread(file, _CHUNK, offset):
        hashed.update(chunk)
        offset += len(chunk)
    return hashed.hexdigest()


def copy(file: int, to: Path) -> None:
    """Copy all of an open file to a new one."""
    offset = 0
    with to.open("xb") as copied:
        while chunk := os.pread(file, _CHUNK, offset):
            copied.write(chunk)
            offset += len(chunk)


def version(file: int) -> tuple[int, int, int]:
    """Return a value that changes with every write to an open file."""
    seen = os.fstat(file)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
