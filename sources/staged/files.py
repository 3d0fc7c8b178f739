"""Staged files, found by the hash of the content; a damaged file counts as missing."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sources.staged.content import Content, MalformedRecord
from sources.staged.staging_folder import ABOUT, ROWS, discard, refuse_foreign
from sources.values import Kind


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file as it was when it was staged. `parquet` holds its rows, without the malformed records.

    `weights` hold for each run of rows their number and the approximate bytes that they take in memory.
    """

    id: str
    parquet: Path
    content: Content
    weights: tuple[tuple[int, int], ...]


def find_staged(folder: Path, staged_id: str) -> StagedFile | None:
    """Return the file staged under this id and mark it as used; None if it is missing or damaged.

    Raises SourceUnavailable if others can write to the folder.
    """
    refuse_foreign(folder)
    path = folder / staged_id
    try:
        about = json.loads((path / ABOUT).read_bytes())
        if digest(path / ROWS) == about["digest"]:
            os.utime(path / ABOUT)
            weights = tuple((rows, weight) for rows, weight in about["weights"])
            return StagedFile(staged_id, path / ROWS, _content(about["content"]), weights)
    except (FileNotFoundError, NotADirectoryError):  # not staged, or partly deleted
        return None
    except (ValueError, KeyError, TypeError):
        pass
    discard(path)
    return None


def digest(rows: Path) -> str:
    """Return the SHA-256 of a file; it is read again only if the file has changed."""
    seen = rows.stat()
    return _digest_of(rows, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))


@lru_cache(maxsize=1000)
def _digest_of(rows: Path, _version: tuple[int, ...]) -> str:
    with rows.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(stored: dict[str, Any]) -> Content:
    return Content(
        columns=tuple(stored["columns"]),
        kinds=tuple(Kind(kind) for kind in stored["kinds"]),
        rows=stored["rows"],
        malformed=tuple(MalformedRecord(*fields) for fields in stored["malformed"]),
        holds_documents=stored["holds_documents"],
        has_more_columns=stored["has_more_columns"],
        blank_lines=None if stored["blank_lines"] is None else tuple(stored["blank_lines"]),
    )
