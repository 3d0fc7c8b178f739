"""The account of API and workers: they parse what others send, so a run that root started takes another for them."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from launcher.accounts import Account, caller
from runtime.python import python_command
from runtime.settings import STAGING, Settings, files_of

NAMES = ("breakwater", "daemon")
"""The first account of these that the machine has. Both may be given to others; the first is made for this service."""
_FIRST_PORT = 1024
_TRY = """
import os, sys
import cli.loading, orjson
for path in sys.argv[1:]:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).close()
    except PermissionError:
        sys.exit(path)
"""


class ServiceAccount(NamedTuple):
    """The account for API and workers, and the reason if that is root."""

    account: Account
    reason: str | None


def choose_service_account(settings: Settings) -> ServiceAccount:
    """Return the caller's account, or where that is root another one that can read all that a run needs."""
    if os.geteuid() != 0:
        return ServiceAccount(caller(), None)
    account = _other_account()
    if account is None:
        return ServiceAccount(caller(), f"This machine has no account {' or '.join(NAMES)}.")
    reason = _refusal(account, settings)
    return ServiceAccount(account if reason is None else caller(), reason)


def give_staging(folder: Path | None, account: Account) -> None:
    """Give the staging folder in a data folder to the account that stages files.

    What root staged goes with it. What another account staged is removed, and staged again where it is needed.
    """
    if folder is None or os.geteuid() != 0:
        return
    staging = folder / STAGING
    owner = staging.lstat().st_uid if staging.exists() else account.uid
    if owner not in (0, account.uid):
        shutil.rmtree(staging)
    staging.mkdir(mode=0o700, exist_ok=True)
    if owner == 0:
        for inner, _, files in os.walk(staging):
            for name in files:
                os.chown(Path(inner, name), account.uid, account.gid, follow_symlinks=False)
            os.chown(inner, account.uid, account.gid)
    os.chown(staging, account.uid, account.gid, follow_symlinks=False)


def _other_account() -> Account | None:
    for name in NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    return None


def _refusal(account: Account, settings: Settings) -> str | None:
    """Return why API and workers can't run under the account."""
    if settings.database_url or settings.redis_url:
        return "The stores aren't this run's own, and files that their URLs name may be root's."
    if settings.port < _FIRST_PORT:
        return f"Port {settings.port} is below {_FIRST_PORT}."
    return _unreadable(account, files_of(settings))


def _unreadable(account: Account, paths: Sequence[Path]) -> str | None:
    """Try to load the code and to open these paths under the account; return what it can't."""
    command, environment = python_command("cli")
    tried = [command[0], "-P", "-c", _TRY, *map(str, paths)]
    given = {"PYTHONPATH": environment["PYTHONPATH"]}
    try:
        done = subprocess.run(  # noqa: S603
            tried, capture_output=True, text=True, check=False, **{**account.popen_arguments(), "env": given}
        )
    except OSError:
        return f"The account {account.name} can't run {command[0]}."
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    what = said if said in map(str, paths) else f"this code ({said})"
    return f"The account {account.name} can't read {what}."
