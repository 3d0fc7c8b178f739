"""Opens the sources of configurations by the number of their identity: a job reads the source it was accepted for."""

import os
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import TypeGuard

from configuration.content import Configuration, root_for
from domain.identities import IdentityKind
from domain.sources.connection import ConnectionSettings
from domain.sources.registry import SOURCE_BY_CONNECTION
from domain.sources.source import ConnectionSource, Source
from runtime.config_file import ImportSettings
from runtime.configured_secrets import Secrets
from runtime.settings import STAGING
from sources.errors import SourceNotConfigured, echoed
from sources.opening import ImportRoot, Opener, Place, ReachedConnection, opener
from sources.protocol import Source as OpenedSource
from sources.staged.parser import Parser


class ConfiguredSources:
    """Opens sources; connections are shared by all of a process, and stay open until it ends.

    Sources of an earlier configuration can still be opened: a running batch ends under the one it was claimed for.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._staging_folder = _staging_folder(data_dir)
        self._parser = Parser()
        self._places: dict[int, Place] = {}
        self._openers: dict[tuple[str, int, Hashable], Opener] = {}

    def serve(self, configuration: Configuration, secrets: Secrets) -> None:
        """Serve the sources of this configuration from now on, as far as this process has their keys and URLs."""
        file = configuration.content.file
        for key, number in configuration.identity_nos.items():
            if key.kind is IdentityKind.IMPORT_ROOT and file.imports is not None:
                self._places[number] = self._root(key.tenant, file.imports)
            if key.kind is IdentityKind.CONNECTION and f"connections.{key.name}" not in secrets.reasons:
                self._places[number] = _reached(key.name, file.connections[key.name], secrets)
        for (_, number, _), known in self._openers.items():
            known.follow(self._places[number])

    def open(self, source: Source, identity_no: int | None) -> OpenedSource:
        """Return an opened source of this identity. Raises SourceNotConfigured if this process doesn't know it."""
        number = identity_no or 0
        place = self._places.get(number)
        if not _holds(place, source):
            raise _not_configured(source)
        # A change of keys opens the source anew: sources that are open keep their keys.
        key = source.type_name, number, place.settings.key_envs if isinstance(place, ReachedConnection) else ()
        if key not in self._openers:
            self._openers[key] = opener(source.type_name, place)
        return self._openers[key].open(source)

    async def aclose(self) -> None:
        """Close all connections."""
        for known in self._openers.values():
            await known.aclose()

    def _root(self, tenant: str, imports: ImportSettings) -> ImportRoot:
        """Return the root of a tenant's files; a folder in it that is the root of others is hidden."""
        folder = root_for(tenant, imports)
        assert folder is not None  # noqa: S101 - an identity of the configuration has one
        hidden = tuple(each for each, tenants in imports.folders if tenants is not None and tenant not in tenants)
        return ImportRoot(folder, self._staging_folder, self._parser, hidden)


def _reached(name: str, settings: ConnectionSettings, secrets: Secrets) -> ReachedConnection:
    url = secrets.values[settings.url_env].get_secret_value()
    keys = {variable: secrets.values[variable] for variable in settings.key_envs}
    return ReachedConnection(name, settings, url, keys)


def _holds(place: Place | None, source: Source) -> TypeGuard[Place]:
    """Say whether sources of this type are read at a place."""
    if isinstance(place, ReachedConnection):
        return SOURCE_BY_CONNECTION[place.settings.type] is type(source)
    return isinstance(place, ImportRoot) and not isinstance(source, ConnectionSource)


def _not_configured(source: Source) -> SourceNotConfigured:
    if isinstance(source, ConnectionSource):
        named = f"{source.settings.type_name} connection {echoed(source.connection)}"
        return SourceNotConfigured(f"No {named} is configured where this was tried.")
    return SourceNotConfigured("No root of imports is configured where this was tried: set [imports] root.")


def _staging_folder(data_dir: Path | None) -> Path:
    """Return the staging folder; without a data folder, a folder that no other user of this machine has made."""
    return data_dir / STAGING if data_dir else Path(tempfile.gettempdir()) / f"{STAGING}-{os.geteuid()}"
