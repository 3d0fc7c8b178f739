"""The staged form of a file: Parquet that is read by row number, in a folder that is named after the file's content."""

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from sources.content import Content, Malformed
from sources.conversion import convert
from sources.duck import Session
from sources.errors import SourceUnavailable
from sources.formats import Format
from sources.values import Kind

VERSION = 3
"""Raised whenever the same bytes are staged in another way, so that nobody reads the old form as the new one."""
UNUSED_SECONDS = 7 * 86_400
"""What no import read for that long goes when something else is staged; read again, it is staged again."""
ROWS = "rows.parquet"
_ABOUT = "about.json"
_UNFINISHED = ".unfinished"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Staged:
    """A file as it was when it was staged. Its rows stand in `parquet`, without the records that made no sense."""

    id: str
    parquet: Path
    content: Content


def staged(folder: Path, staged_id: str) -> Staged | None:
    """Return what is staged under this id, None if nothing is or not all of it; marks it as used."""
    about = folder / staged_id / _ABOUT
    try:
        told = json.loads(about.read_text())
        os.utime(about)
    except FileNotFoundError:
        return None
    if not (folder / staged_id / ROWS).exists():  # somebody tidied up file by file
        return None
    return Staged(staged_id, folder / staged_id / ROWS, _content(told))


def stage(session: Session, *, file: int, format_: Format, folder: Path) -> Staged:
    """Stage an open file unless its content is staged already; safe to repeat and to race.

    Written elsewhere first and then renamed, so that nobody sees half of it; who comes second uses the first one's.
    Raises Unreadable, or SourceUnavailable when the file changes meanwhile.
    """
    before = _version(file)
    staged_id = f"v{VERSION}-{format_.name}-{_content_hash(session, file)}"
    if found := staged(folder, staged_id):
        return found
    unfinished = folder / f"{staged_id}.{token_hex(8)}{_UNFINISHED}"
    unfinished.mkdir(parents=True)
    try:
        content = convert(session, file=file, format_=format_, to=unfinished / ROWS)
        if _version(file) != before:
            raise SourceUnavailable("The file changed while it was read: import it once it is complete.")
        (unfinished / _ABOUT).write_text(json.dumps(asdict(content)))
        _keep(unfinished, folder / staged_id)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _prune(folder)
    return Staged(staged_id, folder / staged_id / ROWS, content)


def _prune(folder: Path) -> None:
    """Remove what nobody used for long, and what was left unfinished as long ago."""
    oldest = time.time() - UNUSED_SECONDS
    for found in folder.glob("v*-*-*"):
        if _last_used(found) < oldest:
            # Renamed first: a folder under its own name is always whole.
            doomed = (
                found
                if found.name.endswith(_UNFINISHED)
                else found.with_name(f"{found.name}.{token_hex(8)}{_UNFINISHED}")
            )
            with suppress(FileNotFoundError):
                found.rename(doomed)
                shutil.rmtree(doomed)


def _content_hash(session: Session, file: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while chunk := os.pread(file, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
        session.go_on()
    return digest.hexdigest()


def _version(file: int) -> tuple[int, int, int]:
    seen = os.fstat(file)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _keep(unfinished: Path, final: Path) -> None:
    """Give a folder its final name once all of it is on the disk; somebody else's is as good."""
    for path in (*unfinished.iterdir(), unfinished):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    try:
        unfinished.rename(final)
    except OSError:
        if (final / _ABOUT).exists() and (final / ROWS).exists():
            return
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)


def _last_used(path: Path) -> float:
    try:
        return (path / _ABOUT).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime if path.exists() else time.time()


def _content(told: dict[str, Any]) -> Content:
    return Content(
        columns=tuple(told["columns"]),
        kinds=tuple(Kind(kind) for kind in told["kinds"]),
        rows=told["rows"],
        malformed=tuple(Malformed(*one) for one in told["malformed"]),
        holds_documents=told["holds_documents"],
        blank_lines=None if told["blank_lines"] is None else tuple(told["blank_lines"]),
    )
