"""A copy of a SQLite database, opened so that views and triggers in it can only select."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sources.errors import Unreadable

MAX_VALUE_BYTES = 32 * 1024 * 1024
"""Limit of a selected value; bytes are selected as hexadecimal digits, two for each."""
_SETTINGS = ("query_only = ON", "trusted_schema = OFF", "cache_size = -16384")
_REMEDIES = {
    "SQLITE_CORRUPT": "it is damaged: check it by `PRAGMA integrity_check`, and copy it anew",
    "SQLITE_NOTADB": "it is no SQLite database, or it is encrypted",
    "SQLITE_TOOBIG": f"a value is longer than {MAX_VALUE_BYTES >> 20} MiB ({MAX_VALUE_BYTES >> 21} of bytes)",
}


@contextmanager
def opened(path: Path, *, has_journal: bool) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Lend a connection to a private copy, and the name of its text encoding.

    Errors of SQLite become Unreadable, those of the disk OSError. With a journal beside it, SQLite writes to the copy:
    it applies or rolls back the journal.
    """
    with _explained(), closing(sqlite3.connect(_uri(path, has_journal=has_journal), uri=True)) as database:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        (encoding,) = database.execute("PRAGMA encoding").fetchone()
        yield database, encoding


def _uri(path: Path, *, has_journal: bool) -> str:
    return f"{path.absolute().as_uri()}?{'mode=rw' if has_journal else 'mode=ro&immutable=1'}"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
        if name == "SQLITE_NOMEM":
            raise MemoryError from error
        if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
            number = errno.ENOSPC if name == "SQLITE_FULL" else errno.EIO
            raise OSError(number, os.strerror(number)) from error
        for known, remedy in _REMEDIES.items():
            if name.startswith(known):
                raise Unreadable(f"SQLite can't read it: {remedy} ({error}).") from error
        raise Unreadable(f"SQLite can't read it: {error}.") from error
