"""Staged files: found by the hash of the content, and only as they were written."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sources.staged.content import Content, Malformed
from sources.staged.staging_folder import ABOUT, ROWS, discard, refuse_foreign
from sources.values import Kind


@dataclass(frozen=True, slots=True)
class Staged:
    """A file as it was when it was staged. Its rows stand in `parquet`, without the records that made no sense.

    `weights` are of each run of rows how many they are, and about how many bytes they take in memory.
    """

    id: str
    parquet: Path
    content: Content
    weights: tuple[tuple[int, int], ...]


def staged(folder: Path, staged_id: str) -> Staged | None:
    """Return the file staged under this id and mark it as used; None if it is missing, or isn't as it was written.

    Raises SourceUnavailable if others can write to the folder.
    """
    refuse_foreign(folder)
    path = folder / staged_id
    try:
        about = json.loads((path / ABOUT).read_bytes())
        if digest(path / ROWS) == about["digest"]:
            os.utime(path / ABOUT)
            weights = tuple((rows, weight) for rows, weight in about["weights"])
            return Staged(staged_id, path / ROWS, _content(about["content"]), weights)
    except (FileNotFoundError, NotADirectoryError):  # nothing is, or somebody tidied up file by file
        return None
    except (ValueError, KeyError, TypeError):
        pass
    discard(path)
    return None


def digest(rows: Path) -> str:
    """Return the SHA-256 of a file, read again only if the file isn't the one that it was."""
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
        malformed=tuple(Malformed(*fields) for fields in stored["malformed"]),
        holds_documents=stored["holds_documents"],
        has_more_columns=stored["has_more_columns"],
        blank_lines=None if stored["blank_lines"] is None else tuple(stored["blank_lines"]),
    )
