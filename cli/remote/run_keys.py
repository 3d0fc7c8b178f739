"""The Idempotency-Keys of a run's submissions, kept on the disk from before they are sent until the run is over.

A run of the command that is killed leaves its keys behind. The next run with the same content, service and API key
takes them up, so that both are one run to the service. A key that a process still uses is locked, which ends with the
process however it ends: two runs at the same time are two runs.
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

SEPARATOR = "."


class RunKeys:
    """The keys of one run; those that aren't forgotten by its end are left to the next."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._folder = _state_folder()
        self._held: dict[str, tuple[int, Path]] = {}

    def key_for(self, content: bytes) -> str:
        """Return the key for submitting this content: one that a run before left behind, else a new one."""
        digest = _digest(self._address, content)
        held = _take_up(self._folder, digest) or _begin(self._folder, digest)
        if held is None:
            return str(uuid4())
        key = held[1].name.partition(SEPARATOR)[2]
        self._held[key] = held
        return key

    def forget(self, key: str) -> None:
        """Forget a key whose submission was refused: nothing of it is to be taken up."""
        if held := self._held.get(key):
            held[1].unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Forget the keys of a run that is over."""
        for key in self._held:
            self.forget(key)

    def close(self) -> None:
        """Give up the locks; the next run may take up the keys that are left."""
        for descriptor, _ in self._held.values():
            os.close(descriptor)


@contextmanager
def run_keys(address: Address) -> Iterator[RunKeys]:
    """Hold the keys of a run."""
    keys = RunKeys(address)
    try:
        yield keys
    finally:
        keys.close()


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
