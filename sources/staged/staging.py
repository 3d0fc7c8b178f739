"""Staging a file: converting it into a form that is read by row number, in a folder named after the file's content.

Only `sources.staged.parse_file` does this, in a process of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from sources.errors import SourceUnavailable, Unreadable, echoed
from sources.staged.files import digest, find_staged
from sources.staged.pinned import Pinned
from sources.staged.staging_folder import ABOUT, ROWS, finish
from sources.staged.writer import read_weights

VERSION = 4
"""Raised whenever the staged form of the same bytes changes, so that an old form is never read as a new one."""


def stage(*, file: int, source: Mapping[str, str], root: Path, folder: Path, workspace: Path) -> str:
    """Stage the content that a spec's `source` names in its open file, unless it is staged already; return its id.

    The package of the source's type converts it. It is written in the workspace and then renamed, so that no process
    sees an unfinished form; of two processes that race, the second uses the form of the first. Raises SourceError:
    Unreadable, or SourceUnavailable when the file changes meanwhile.
    """
    names = {name: value for name, value in source.items() if name != "type"}
    conversion = import_module(f"sources.{source['type']}.conversion")
    rows = workspace / ROWS
    path = echoed(source["path"])
    try:
        pinned: Pinned = conversion.pin(file=file, root=root, workspace=workspace, **names)
        staged_id = f"v{VERSION}-{pinned.form}-{pinned.content_hash}"
        if find_staged(folder, staged_id):
            return staged_id
        content = pinned.convert(rows)
    except Unreadable as error:
        raise Unreadable(f"{path}: {error.detail}") from None
    if pinned.has_changed:
        raise SourceUnavailable(f"{path} changed while it was read: import it once it is complete.")
    about = {"content": asdict(content), "weights": read_weights(rows), "digest": digest(rows)}
    (workspace / ABOUT).write_text(json.dumps(about))
    finish(workspace, folder / staged_id)
    return staged_id
