"""The system account that runs the engines, and its access to files. Root never runs an engine."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNPRIVILEGED = "nobody"
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
"""All that an engine gets of an environment. This process's may hold keys, which others of the engine's account could
read there."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system account; `switch` says whether this process must change to it before it starts an engine."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` start an engine under this account, whose files are its own."""
        return {"env": ENVIRONMENT, "umask": 0o077, **self.switching()}

    def switching(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` start any program under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def own(self, path: Path) -> None:
        """Give `path` to this account; does nothing when no change of account is needed."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def let_read(self, path: Path) -> None:
        """Let this account read a file of this process's account, which stays its owner."""
        if self.switch:
            os.chown(path, -1, self.gid)
            path.chmod(0o640)

    def can_reach(self, folder: Path) -> bool:
        """Say whether this account can enter the existing `folder`, by trying it.

        The mode bits of the parents don't show access lists and mount options.
        """
        # The absolute path keeps /bin/sh out of a PATH that the account may not be able to read.
        tried = subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)],
            cwd="/",
            stderr=subprocess.DEVNULL,
            check=False,
            **self.popen_arguments(),
        )
        return tried.returncode == 0


def account_for_engines() -> Account:
    """Return the account that runs the engines: the caller's own, or `nobody` when the caller is root."""
    if os.geteuid() != 0:
        return caller()
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, switch=True)


def caller() -> Account:
    """Return this process's account, the only one that may connect to the engines."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # an unnamed user id, as in a container
        name = str(uid)
    return Account(name=name, uid=uid, gid=os.getegid(), switch=False)
