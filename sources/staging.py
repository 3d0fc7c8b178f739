"""Staging a file: converting it into a form that is read by row number, in a folder named after the file's content.

Only `sources.parse_file` does this, in a process of its own.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from sources.conversion import convert
from sources.errors import SourceUnavailable, Unreadable, echoed
from sources.formats import format_of
from sources.staged_files import digest, staged
from sources.staged_writer import read_weights
from sources.staging_folder import ABOUT, ROWS, finish

VERSION = 4
"""Raised whenever the same bytes are staged in another way, so that nobody reads the old form as the new one."""
_CHUNK = 1 << 20


def stage(*, file: int, path: str, folder: Path, workspace: Path) -> str:
    """Stage an open file in `folder`, unless its content is staged already; return its id. `path` is its name.

    Written in the workspace first and then renamed, so that nobody sees half of it; who comes second uses the first
    one's. Raises SourceError: Unreadable, or SourceUnavailable when the file changes meanwhile.
    """
    format_ = format_of(path)
    before = _version(file)
    staged_id = f"v{VERSION}-{format_.name}-{_content_hash(file)}"
    if staged(folder, staged_id):
        return staged_id
    rows = workspace / ROWS
    try:
        content = convert(file=file, format_=format_, to=rows)
    except Unreadable as error:
        raise Unreadable(f"{echoed(path)}: {error.detail}") from None
    if _version(file) != before:
        raise SourceUnavailable(f"{echoed(path)} changed while it was read: import it once it is complete.")
    about = {"content": asdict(content), "weights": read_weights(rows), "digest": digest(rows)}
    (workspace / ABOUT).write_text(json.dumps(about))
    finish(workspace, folder / staged_id)
    return staged_id


def _content_hash(file: int) -> str:
    hashed = hashlib.sha256()
    offset = 0
    while chunk := os.pread(file, _CHUNK, offset):
        hashed.update(chunk)
        offset += len(chunk)
    return hashed.hexdigest()


def _version(file: int) -> tuple[int, int, int]:
    seen = os.fstat(file)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
