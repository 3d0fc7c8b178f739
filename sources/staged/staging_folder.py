"""The folder of staged files: it belongs to this user alone, and unfinished files of dead processes are removed."""

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from sources.errors import SourceUnavailable

UNUSED_SECONDS = 7 * 86_400
"""A file that wasn't read for that long is removed when another is staged; if needed, it is staged again."""
ROWS = "rows.parquet"
ABOUT = "about.json"
_UNFINISHED = ".unfinished"
_OWNER = "owner"
_REMEDY = "remove it, and it is made anew; or set BREAKWATER_DATA_DIR to a folder of the service's own."


def make_own(folder: Path) -> None:
    """Make the folder if it is missing. Raises SourceUnavailable if other users can write to it."""
    with suppress(FileExistsError):  # which may be a file or a link: looked at below
        folder.mkdir(mode=0o700, parents=True)
    refuse_foreign(folder)


def refuse_foreign(folder: Path) -> None:
    """Raise SourceUnavailable if other users may have written to the folder; keep them from reading it.

    A missing folder passes.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise SourceUnavailable(f"The staging folder {folder.name} is no folder: {_REMEDY}")
    if found.st_uid != os.geteuid():
        raise SourceUnavailable(f"The staging folder {folder.name} belongs to another user: {_REMEDY}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SourceUnavailable(f"The staging folder {folder.name} may be written by other users: {_REMEDY}")
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Lend a new folder for staging a file. It is removed at the end, unless `finish` renamed it.

    It is locked as long as this process lives, by which `sweep` knows the folders of dead processes.
    """
    path = folder / f"{token_hex(8)}{_UNFINISHED}"
    path.mkdir(mode=0o700)
    try:
        with (path / f"{_OWNER}.new").open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            # No process sees it before it is locked.
            (path / f"{_OWNER}.new").rename(path / _OWNER)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def finish(path: Path, final: Path) -> None:
    """Give a workspace its final name once all of it is on the disk; an existing folder of this name stays."""
    (path / _OWNER).unlink()
    for part in (*path.iterdir(), path):
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    try:
        path.rename(final)
    except OSError:
        if (final / ABOUT).exists() and (final / ROWS).exists():
            return
        shutil.rmtree(final, ignore_errors=True)
        path.rename(final)


def discard(path: Path) -> None:
    """Remove a staged file. It is renamed first, so that a folder with a final name is always complete."""
    doomed = path.with_name(f"{path.name}.{token_hex(8)}{_UNFINISHED}")
    with suppress(FileNotFoundError):
        path.rename(doomed)
        shutil.rmtree(doomed)


def sweep(folder: Path) -> None:
    """Remove unfinished files of dead processes, and files that weren't used for UNUSED_SECONDS."""
    oldest = time.time() - UNUSED_SECONDS
    for found in folder.glob(f"*{_UNFINISHED}"):
        if _is_left(found) or _last_used(found) < oldest:
            shutil.rmtree(found, ignore_errors=True)
    for found in folder.glob("v*-*-*"):
        if not found.name.endswith(_UNFINISHED) and _last_used(found) < oldest:
            discard(found)


def _is_left(unfinished: Path) -> bool:
    """Return whether its owner is dead. A folder without an owner is being made, finished or discarded just now."""
    try:
        with (unfinished / _OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def _last_used(path: Path) -> float:
    for found in (path / ABOUT, path):
        with suppress(OSError):
            return found.stat().st_mtime
    return time.time()
