"""A process that stages one file: `python -m sources.staged.parse_file REQUEST`, for `sources.staged.parser` only.

It prints one line of JSON. It ends when its parent closes its standard input.
"""

import errno
import gc
import json
import os
import resource
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sources.errors import SourceError, SourceUnavailable, Unreadable, echoed
from sources.staged.paths import open_inside
from sources.staged.staging import stage
from sources.staged.staging_folder import make_own, sweep, workspace


def main() -> None:
    """Stage the requested file; print the id of its staged form, or the error's code and detail."""
    request = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal; this process ends with its parent
    os.umask(0o077)
    gc.disable()  # it would visit every value of a large document again and again, in vain
    sys.stdout.write(json.dumps(_answer(request)))


def _answer(request: dict[str, Any]) -> dict[str, str]:
    folder = Path(request["folder"])
    root, source = Path(request["root"]), request["source"]
    hidden = [Path(folder) for folder in request["hidden"]]
    file = echoed(source["path"])
    try:
        with open_inside(root, source["path"], hidden=hidden) as opened:
            make_own(folder)
            _limit(folder, memory_bytes=request["memory_bytes"], staged_bytes=request["staged_bytes"])
            sweep(folder)
            with workspace(folder) as unfinished:
                _end_with_parent(unfinished)
                staged_id = stage(file=opened, source=source, root=root, folder=folder, workspace=unfinished)
                return {"id": staged_id}
    except SourceError as error:
        return _failed(error)
    except MemoryError:
        limit = f"more than the {request['memory_bytes'] >> 20} MiB of memory that reading a file may"
        return _failed(Unreadable(f"{file} takes {limit}: write it with smaller records or row groups, or split it."))
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno == errno.EFBIG:
            limit = f"more than {request['staged_bytes'] >> 20} MiB, or half of what is free,"
            return _failed(Unreadable(f"{file} takes {limit} in the staging folder: split it, or make room."))
        why = os.strerror(error.errno)
        return _failed(SourceUnavailable(f"{file}, or the folder it is staged in, can't be used for now ({why})."))


def _failed(error: SourceError) -> dict[str, str]:
    return {"code": error.code, "detail": error.detail}


def _limit(folder: Path, *, memory_bytes: int, staged_bytes: int) -> None:
    disk_bytes = min(staged_bytes, shutil.disk_usage(folder).free // 2)
    for kind, limit in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, disk_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def _end_with_parent(path: Path) -> None:
    """End once the parent is gone, for any reason, and remove the workspace."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        shutil.rmtree(path, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
