"""The Idempotency-Key of a submission, kept on the disk from before it is sent until it is answered.

A run of the command that is killed in between leaves its key behind. The next run with the same content, service and
API key takes it up, so that both are one submission to the service. A key that a process still uses is locked, which
ends with the process however it ends: two runs at the same time are two submissions.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from cli.remote.address import Address
from cli.remote.errors import NotReached

SEPARATOR = "."


@contextmanager
def run_key(address: Address, content: bytes) -> Iterator[str]:
    """Hold the key for submitting this content; forget it once the block ends with an answer, a refusal too.

    It is kept if the block raises NotReached or is interrupted: it isn't known then whether the submission took effect.
    """
    folder = _state_folder()
    held = _take_up(folder, _digest(address, content)) or _begin(folder, _digest(address, content))
    if held is None:
        yield str(uuid4())
        return
    descriptor, path = held
    try:
        yield path.name.partition(SEPARATOR)[2]
    except NotReached:
        raise
    except Exception:
        path.unlink(missing_ok=True)
        raise
    else:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "breakwater" / "submissions"


def _digest(address: Address, content: bytes) -> str:
    about = f"{address.url}\0{address.key_id or ''}\0".encode()
    return sha256(about + content).hexdigest()[:32]


def _take_up(folder: Path, digest: str) -> tuple[int, Path] | None:
    """Return a key that an earlier run left behind, locked by this process."""
    for path in sorted(folder.glob(f"{digest}{SEPARATOR}*")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue
        if _lock(descriptor) and path.exists():  # it was answered since, unless it is still there
            return descriptor, path
        os.close(descriptor)
    return None


def _begin(folder: Path, digest: str) -> tuple[int, Path] | None:
    """Return a new key, on the disk and locked; None where nothing can be written."""
    key = str(uuid4())
    path = folder / f"{digest}{SEPARATOR}{key}"
    unlocked = folder / key
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(descriptor)
        unlocked.rename(path)  # no other run finds it before it is locked
    except OSError as error:
        sys.stderr.write(
            f"{folder} can't be written ({error.strerror}): if this run is killed, look before the next.\n"
        )
        return None
    return descriptor, path


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
