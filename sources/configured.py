"""The sources that the settings name: what an import's spec calls a file, a connection or a query."""

import tempfile
from pathlib import Path

from domain.import_spec import FileSource, Source, SqlSource, SuiteqlSource
from runtime.config_file import ConnectionSettings, ConnectionType
from runtime.settings import Settings
from sources import file, sql, suiteql
from sources.errors import SourceNotConfigured, echoed
from sources.protocol import Source as OpenedSource
from sources.sql_session import SqlConnection
from sources.suiteql_service import SuiteqlConnection

STAGING = "breakwater-staging"


class ConfiguredSources:
    """Opens sources; connections are shared by all of a worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._databases: dict[str, SqlConnection] = {}
        self._services: dict[str, SuiteqlConnection] = {}

    def open(self, source: Source) -> OpenedSource:
        """Return a source to read. Raises SourceNotConfigured for one that only others may know."""
        match source:
            case FileSource(path):
                return self._file(path)
            case SqlSource(connection, table):
                return sql.SqlSource(self._database(connection), table)
            case SuiteqlSource(connection, query):
                return suiteql.SuiteqlSource(self._service(connection), query)

    async def aclose(self) -> None:
        """Close all connections."""
        for database in self._databases.values():
            await database.aclose()
        for service in self._services.values():
            await service.aclose()

    def _file(self, path: str) -> OpenedSource:
        imports = self._settings.file.imports
        if imports is None:
            raise SourceNotConfigured("No root of imports is configured where this was tried: set [imports] root.")
        folder = (self._settings.data_dir or Path(tempfile.gettempdir())) / STAGING
        return file.FileSource(root=imports.root, path=path, staging_folder=folder)

    def _database(self, name: str) -> SqlConnection:
        if name not in self._databases:
            configured = self._configured(name, ConnectionType.POSTGRESQL)
            self._databases[name] = SqlConnection(self._secret(configured.url_env))
        return self._databases[name]

    def _service(self, name: str) -> SuiteqlConnection:
        if name not in self._services:
            configured = self._configured(name, ConnectionType.SUITEQL)
            self._services[name] = SuiteqlConnection(
                self._secret(configured.url_env),
                token=self._secret(configured.token_env or ""),
                queries=configured.queries,
            )
        return self._services[name]

    def _configured(self, name: str, kind: ConnectionType) -> ConnectionSettings:
        configured = self._settings.file.connections.get(name)
        if configured is None or configured.type is not kind:
            raise SourceNotConfigured(f"No {kind} connection {echoed(name)} is configured where this was tried.")
        return configured

    def _secret(self, variable: str) -> str:
        return self._settings.secrets[variable].get_secret_value()
