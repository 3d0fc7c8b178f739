"""The sources that configurations name, by the number of their identity: a job reads what it was accepted for."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from configuration.content import Configuration
from domain.identities import IMPORT_ROOT, IdentityKey, IdentityKind, of_source
from domain.import_spec import FileSource, Source, SqlSource, SuiteqlSource
from runtime.config_file import ConnectionSettings, ConnectionType
from runtime.settings import Secrets
from sources import file, sql, suiteql
from sources.errors import SourceNotConfigured, echoed
from sources.parser import Parser
from sources.protocol import Source as OpenedSource
from sources.sql_session import SqlConnection
from sources.suiteql_service import SuiteqlConnection

STAGING = "breakwater-staging"


@dataclass(frozen=True, slots=True)
class _Reached:
    """A connection as it is reached from here."""

    name: str
    identity_no: int
    settings: ConnectionSettings
    url: str
    token: SecretStr | None


class ConfiguredSources:
    """Opens sources; connections are shared by all of a process, and stay open until it ends.

    What an earlier configuration named can still be opened: a batch in hand ends under what it was claimed for.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._staging_folder = _staging_folder(data_dir)
        self._parser = Parser()
        self._current: dict[IdentityKey, int] = {}
        self._roots: dict[int, Path] = {}
        self._reached: dict[int, _Reached] = {}
        self._databases: dict[int, SqlConnection] = {}
        self._services: dict[tuple[int, str | None], SuiteqlConnection] = {}

    def serve(self, configuration: Configuration, secrets: Secrets) -> None:
        """Open what this configuration names from now on, as far as this process has the keys and URLs."""
        self._current = {
            key: number for key, number in configuration.identity_nos.items() if key.kind is not IdentityKind.PROVIDER
        }
        if configuration.content.file.imports is not None:
            self._roots[self._current[IMPORT_ROOT]] = configuration.content.file.imports.root
        for name, settings in configuration.content.file.connections.items():
            if f"connections.{name}" not in secrets.reasons:
                number = self._current[IdentityKey(IdentityKind.CONNECTION, name, "")]
                url = secrets.values[settings.url_env].get_secret_value()
                token = secrets.values[settings.token_env] if settings.token_env else None
                self._reached[number] = _Reached(name, number, settings, url, token)
                if number in self._databases:  # what it may read applies at once
                    self._databases[number].tables = settings.listed_tables

    def open_current(self, source: Source) -> OpenedSource:
        """Return a source to read as the configuration has it now. Raises SourceNotConfigured."""
        return self.open(source, self._current.get(of_source(source)))

    def open(self, source: Source, identity_no: int | None) -> OpenedSource:
        """Return a source of this identity to read. Raises SourceNotConfigured for one that only others may know."""
        match source:
            case FileSource(path):
                return self._file(path, identity_no)
            case SqlSource(connection, table):
                return sql.SqlSource(
                    self._database(self._found(connection, ConnectionType.POSTGRESQL, identity_no)), table
                )
            case SuiteqlSource(connection, query):
                return suiteql.SuiteqlSource(
                    self._service(self._found(connection, ConnectionType.SUITEQL, identity_no)), query
                )

    async def aclose(self) -> None:
        """Close all connections."""
        for database in self._databases.values():
            await database.aclose()
        for service in self._services.values():
            await service.aclose()

    def _file(self, path: str, identity_no: int | None) -> OpenedSource:
        root = self._roots.get(identity_no or 0)
        if root is None:
            raise SourceNotConfigured("No root of imports is configured where this was tried: set [imports] root.")
        return file.FileSource(root=root, path=path, staging_folder=self._staging_folder, parser=self._parser)

    def _found(self, name: str, kind: ConnectionType, identity_no: int | None) -> _Reached:
        found = self._reached.get(identity_no or 0)
        if found is None or found.settings.type is not kind:
            raise SourceNotConfigured(f"No {kind} connection {echoed(name)} is configured where this was tried.")
        return found

    def _database(self, reached: _Reached) -> SqlConnection:
        if reached.identity_no not in self._databases:
            self._databases[reached.identity_no] = SqlConnection(
                reached.url, name=reached.name, tables=reached.settings.listed_tables
            )
        return self._databases[reached.identity_no]

    def _service(self, reached: _Reached) -> SuiteqlConnection:
        key = reached.identity_no, reached.settings.token_env
        if key not in self._services:
            token = reached.token.get_secret_value() if reached.token else ""
            self._services[key] = SuiteqlConnection(reached.url, token=token, queries=reached.settings.queries)
        return self._services[key]


def _staging_folder(data_dir: Path | None) -> Path:
    """Return where files are staged: without a data folder, one that no other user of this machine has made."""
    return data_dir / STAGING if data_dir else Path(tempfile.gettempdir()) / f"{STAGING}-{os.geteuid()}"
