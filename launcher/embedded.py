"""The embedded engines of a data folder: PostgreSQL and Valkey, under the account that may run them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.binaries import find_postgres, find_valkey
from launcher.folder import DataFolder
from launcher.postgres import Postgres
from launcher.valkey import Valkey

_LOG_LIMIT_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one folder. Each can be started, stopped and killed by itself."""

    postgres: Postgres
    valkey: Valkey

    def start(self) -> None:
        """Create missing data folders and start both; raises EngineError, with nothing left running."""
        try:
            for engine in (self.postgres, self.valkey):
                engine.create()
                engine.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both; does nothing for an engine that isn't running."""
        self.valkey.stop()
        self.postgres.stop()


def engines_in(
    folder: DataFolder, *, postgres_settings: Mapping[str, str] | None = None, postgres_binaries: Path | None = None
) -> Engines:
    """Return the engines of a held folder, not started. `postgres_binaries` names an installed PostgreSQL to use."""
    return Engines(
        postgres=postgres_in(folder, settings=postgres_settings, binaries=postgres_binaries), valkey=valkey_in(folder)
    )


def postgres_in(
    folder: DataFolder, *, settings: Mapping[str, str] | None = None, binaries: Path | None = None
) -> Postgres:
    """Return the PostgreSQL of a held folder, not started."""
    _shorten(folder.path / "postgres.log")
    return Postgres(
        data=folder.path / "postgres",
        sockets=folder.sockets(),
        control=folder.path,
        binaries=binaries or find_postgres(folder.account),
        account=folder.account,
        settings=settings or {},
        services=folder.services,
    )


def valkey_in(folder: DataFolder) -> Valkey:
    """Return the Valkey of a held folder, not started."""
    _shorten(folder.path / "valkey.log")
    return Valkey(
        data=folder.path / "valkey",
        sockets=folder.sockets(),
        control=folder.path,
        server=find_valkey(folder.account),
        account=folder.account,
        password=folder.password("valkey.password"),
        services=folder.services,
    )


def _shorten(log: Path) -> None:
    """Truncate a log that has grown large; between two runs no process writes to it."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.write_bytes(b"")
