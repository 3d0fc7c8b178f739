"""Converting a table of a SQLite file and its journals, in a process of its own."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sources.errors import SourceMissing, Unreadable
from sources.sqlite.database import opened
from sources.sqlite.table import convert_table
from sources.staged.content import Content
from sources.staged.paths import open_inside
from sources.staged.pinned import content_hash, copy, version

HEADER = b"SQLite format 3\0"
JOURNALS = ("-wal", "-journal")
"""Files beside a database: the write-ahead log, and the journal that undoes a broken write."""


class PinnedTable:
    """A table of an open SQLite file and of the journals beside it.

    They are copied before they are read: SQLite has to write to a database whose last writer didn't end in order, and
    that may not be the original.
    """

    form = "sqlite"

    def __init__(self, *, file: int, root: Path, path: str, table: str, workspace: Path) -> None:
        """Raises Unreadable for a file that isn't a SQLite database."""
        if os.pread(file, len(HEADER), 0) != HEADER:
            raise Unreadable("It is no SQLite 3 database, or it is encrypted: write it anew.")
        self._file = file
        self._root = root
        self._path = path
        self._table = table
        self._folder = workspace / "database"
        self._seen, self.content_hash = self._look()

    @property
    def has_changed(self) -> bool:
        """Whether the file or its journals were written to since they were pinned."""
        with self._opened() as files:
            return {ending: version(file) for ending, file in files.items()} != self._seen

    def convert(self, to: Path) -> Content:
        """Write the table's rows to `to`. Raises Unreadable."""
        self._folder.mkdir()
        try:
            with self._opened() as files:
                for ending, file in files.items():
                    copy(file, self._folder / f"copy{ending}")
            with opened(self._folder / "copy", has_journal=len(files) > 1) as (database, encoding):
                return convert_table(database, encoding, self._table, to)
        finally:
            shutil.rmtree(self._folder)

    def _look(self) -> tuple[dict[str, tuple[int, int, int]], str]:
        """Return the versions of the files, and a hash of them and of the table's name."""
        hashed = hashlib.sha256(self._table.encode())
        with self._opened() as files:
            seen = {ending: version(file) for ending, file in files.items()}
            for ending, file in files.items():
                hashed.update(f"\0{ending}\0{content_hash(file)}".encode())
        return seen, hashed.hexdigest()

    @contextmanager
    def _opened(self) -> Iterator[dict[str, int]]:
        """Lend the existing files by the endings of their names; an empty journal counts as absent."""
        with ExitStack() as stack:
            files = {"": self._file}
            for ending in JOURNALS:
                try:
                    journal = stack.enter_context(open_inside(self._root, self._path, ending=ending))
                except SourceMissing:
                    continue
                if os.fstat(journal).st_size:
                    files[ending] = journal
            yield files


def pin(*, file: int, root: Path, path: str, table: str, workspace: Path) -> PinnedTable:
    """Return a table of an open SQLite file."""
    return PinnedTable(file=file, root=root, path=path, table=table, workspace=workspace)
