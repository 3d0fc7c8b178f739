"""The data folder of a run: its place, its lock, and the files that other processes may read.

<folder>/                0711 when root made it, else 0700
    lock                 held by the run that uses the folder
    connections.json     the URLs of the engines, for processes that join (0600)
    valkey.password      0600
    postgres/ valkey/    data, 0700, owned by the account that runs the engines
    sockets/             likewise, but 0710 with the group of the account that runs API and workers, if that is another;
                         under /tmp if its path is too long for a Unix socket
    breakwater-staging/  0700, of the account that runs API and workers
    postgres.log valkey.log    0600; the engines write to the open files
    pg_hba.conf pg_ident.conf  0600, when root made the folder 0640 with the group of the engines' account
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from launcher.accounts import Account
from launcher.errors import EngineError, FolderInUseError

OUTSIDE = Path("/var/lib/breakwater")
"""The folder for root's data if the engines' account can't reach the project."""
_LONGEST_SOCKET_FOLDER = 80
"""A socket's path must stay under 104 bytes on macOS and 108 on Linux; PostgreSQL's lock file takes 19 of them."""


class Connections(NamedTuple):
    """The URLs of a run's servers."""

    database_url: str
    redis_url: str


class FolderChoice(NamedTuple):
    """A data folder, and the reason if it isn't in the project."""

    path: Path
    reason: str | None


def project_folder() -> Path:
    """Return the folder of this code's checkout, or the current folder if the code is installed elsewhere."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def choose_folder(*, data_dir: Path | None, port: int, account: Account) -> FolderChoice:
    """Return the folder of a run on this port; create it, to test whether `account` can reach it.

    The same arguments give the same folder, so that a worker in another terminal finds the engines.
    """
    wanted = (data_dir or project_folder() / ".breakwater" / f"{os.geteuid()}-{port}").absolute()
    _create(wanted, account)
    if account.can_reach(wanted):
        return FolderChoice(wanted, None)
    reason = f"The account {account.name}, which runs the engines because you are root, can't reach {wanted}"
    if data_dir is not None:
        raise EngineError(f"{reason}: set BREAKWATER_DATA_DIR to a folder that it can enter, such as {OUTSIDE}/data.")
    outside = OUTSIDE / f"{wanted.name}-{_short_hash(wanted)}"
    _create(outside, account)
    return FolderChoice(outside, f"{reason}.")


class DataFolder:
    """A data folder with a lock, which ends with this process in any case."""

    def __init__(self, path: Path, account: Account, services: Account | None = None) -> None:
        self.path = path
        self.account = account
        self.services = services
        self._lock: int | None = None

    def hold(self) -> Self:
        """Take the lock of the folder; raises FolderInUseError, naming the settings to change, while it is held."""
        _create(self.path, self.account)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderInUseError(
                f"Another run uses the data folder {self.path}: stop it, or set BREAKWATER_PORT (each port has a "
                "folder of its own) or BREAKWATER_DATA_DIR for a second one."
            ) from None
        self._lock = lock
        return self

    def release(self) -> None:
        """Release the lock, if it is held."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def sockets(self) -> Path:
        """Return the folder for the sockets of the engines, with a path short enough for them."""
        folder = self.path / "sockets"
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            folder = Path("/tmp") / f"breakwater-{self.account.uid}-{_short_hash(self.path)}"  # noqa: S108 (checked below)
        try:
            folder.mkdir(mode=0o700)
            self.account.own(folder)
        except FileExistsError:
            seen = folder.lstat()
            if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != self.account.uid or seen.st_mode & 0o067:
                raise EngineError(f"{folder} isn't a folder of {self.account.name} alone: remove it.") from None
        if self.account.switch:
            self._let_services_enter(folder)
        return folder

    def _let_services_enter(self, folder: Path) -> None:
        is_other = self.services is not None and self.services.switch
        os.chown(folder, -1, self.services.gid if self.services and is_other else self.account.gid)
        folder.chmod(0o710 if is_other else 0o700)

    def password(self, name: str) -> str:
        """Return the password in a file of this folder, which is made if it is missing; only its owner can read it."""
        path = self.path / name
        if not path.exists():
            write_private(path, secrets.token_hex(32))
        return path.read_text(encoding="utf-8")

    def publish(self, connections: Connections) -> None:
        """Write the servers' URLs for processes that join them."""
        write_private(self.path / "connections.json", json.dumps(connections._asdict()))

    def withdraw(self) -> None:
        """Remove the servers' URLs."""
        (self.path / "connections.json").unlink(missing_ok=True)


def read_connections(folder: Path) -> Connections | None:
    """Return the URLs of a running `breakwater run`, or None if none runs on this folder."""
    try:
        return Connections(**json.loads((folder / "connections.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, atomically."""
    unfinished = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it; only its owner may read it, also if an earlier release let others."""
    log = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
    os.fchmod(log.fileno(), 0o600)
    return log


def _create(folder: Path, account: Account) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The engines' account has to pass through root's folder to reach its own folders.
    folder.chmod(0o711 if account.switch else 0o700)


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
