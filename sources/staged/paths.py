"""Opening a file to import: only inside the import root, and only the file whose path was checked."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from sources.errors import SourceForbidden, SourceMissing, SourceRefused, SourceUnavailable, echoed

FileId: TypeAlias = tuple[int, int]
"""A device and the number of an inode on it."""


@contextmanager
def open_inside(root: Path, path: str, *, hidden: Iterable[Path] = (), ending: str = "") -> Iterator[int]:
    """Lend a read descriptor of the regular file at `path` below `root`; with an `ending`, of that file beside it.

    A link may lead to another place below the root. A folder or file that is replaced by a link meanwhile is refused:
    the path is resolved first, and then walked without following any link. Raises SourceForbidden for a path that
    leaves the root or names no file, SourceMissing for an absent file and for all that lies below a `hidden` folder.
    """
    closed = frozenset(filter(None, map(_file_id, hidden)))
    parts = _parts_below_root(root, path, closed)
    if ending:
        parts = (*parts[:-1], f"{parts[-1]}{ending}")
        path += ending
    try:
        file = _walk(root, parts, path, closed)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise _missing(path) from None
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        _refuse_closed(file, path, closed)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SourceForbidden(f"{echoed(path)} is no file: name a file below the import root.")
        yield file
    finally:
        os.close(file)


def _missing(path: str) -> SourceMissing:
    return SourceMissing(f"There is no file {echoed(path)} in the import root.")


def _file_id(folder: Path) -> FileId | None:
    """Return what a folder is known by under any path; None if it isn't there."""
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _parts_below_root(root: Path, path: str, closed: frozenset[FileId]) -> tuple[str, ...]:
    """Return the path from the root to the file, with its links resolved as they are now.

    Links below a closed folder aren't resolved: what is wrong with them would tell what lies there.
    """
    if "\0" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise SourceForbidden(f"{echoed(path)} leaves the import root: name a file below it, without a leading / or ..")
    try:
        real_root = root.resolve(strict=True)
        below = (folder for folder in (real_root / path).parents if folder.is_relative_to(real_root))
        if closed and any(_file_id(folder) in closed for folder in below):
            raise _missing(path)
        real = (real_root / path).resolve()
    except (OSError, RuntimeError, ValueError):  # no root, circular links, an impossible name
        raise SourceMissing(f"The way to {echoed(path)} can't be followed: is the import root there?") from None
    if not real.is_relative_to(real_root):
        raise SourceForbidden(f"{echoed(path)} leaves the import root through a link: name a file that lies below it.")
    return real.relative_to(real_root).parts


def _walk(root: Path, parts: tuple[str, ...], path: str, closed: frozenset[FileId]) -> int:
    """Open each folder of the path relative to its parent, then the file; follows no link, waits for no pipe.

    Raises SourceMissing, which is said of `path`, at a closed folder.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _refuse_closed(folder, path, closed)
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
            _refuse_closed(folder, path, closed)
        name = parts[-1] if parts else "."
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _refuse_closed(opened: int, path: str, closed: frozenset[FileId]) -> None:
    found = os.fstat(opened)
    if (found.st_dev, found.st_ino) in closed:
        raise _missing(path)


def _refusal(path: str, error: OSError) -> SourceForbidden | SourceRefused | SourceUnavailable:
    match error.errno:
        case errno.ELOOP:
            return SourceForbidden(f"{echoed(path)} became a link while it was opened: try again once nobody moves it.")
        case errno.ENXIO | errno.ENODEV:
            return SourceForbidden(f"{echoed(path)} is no file: name a file below the import root.")
        case errno.EACCES | errno.EPERM:
            return SourceRefused(f"{echoed(path)} may not be read by the worker: give its account the right to.")
        case _:
            return SourceUnavailable(f"{echoed(path)} can't be opened ({error.strerror}).")
