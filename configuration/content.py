"""The configuration in force, read from PostgreSQL: its content, identities, registry and limits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from db.batches import PoolKey
from db.configurations import Committed, read_current
from db.engine import Connection
from db.import_coordination import IMPORT_POOL
from domain.identities import IMPORT_ROOT, Identity, IdentityKey, IdentityKind, of_provider
from domain.registry import DEFAULT_PROVIDER, DEFAULT_QUESTIONS, DEFAULT_REGIONS, ECHO, Region, Registry
from domain.registry import Connection as ImportConnection
from domain.sources.registry import SOURCE_BY_CONNECTION
from runtime.config_file import ConfigFile, ProviderSettings, ProviderType
from runtime.errors import SettingError

_STAND_IN = {"type": ProviderType.ECHO, "stands_in": True}
"""The stand-in for all providers while simulating. Its identity differs from a configured provider called `echo`."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a configuration: a checked file, and whether `echo` stands in for every provider."""

    file: ConfigFile = field(default_factory=ConfigFile)
    is_simulated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the file as JSON, without members at their default. It contains no secret."""
        return self.file.model_dump(mode="json", exclude_defaults=True)

    @property
    def providers(self) -> Mapping[str, ProviderSettings]:
        """The serving providers by name; `echo` alone while simulating."""
        return {ECHO: ProviderSettings(type=ProviderType.ECHO)} if self.is_simulated else self.file.providers


@dataclass(frozen=True, slots=True)
class Configuration:
    """A committed configuration, with the numbers of its identities."""

    number: int
    content: Content
    applied_at: datetime
    applied_by: str
    identity_nos: Mapping[IdentityKey, int]


async def read_configuration(connection: Connection, *, known_no: int | None = None) -> Configuration | None:
    """Return the configuration in force; None if it is `known_no`, or if none was committed yet."""
    found = await read_current(connection, known_no=known_no)
    return None if found is None else parse(found)


def parse(committed: Committed) -> Configuration:
    """Parse a committed configuration; raises SettingError if another version wrote it and this one can't read it."""
    try:
        file = ConfigFile.model_validate_json(json.dumps(committed.content))
    except ValidationError:
        raise SettingError(
            f"This version doesn't understand configuration {committed.configuration_no}, which another one applied: "
            "apply one with this version, or start the other."
        ) from None
    return Configuration(
        committed.configuration_no,
        Content(file, committed.is_simulated),
        committed.applied_at,
        committed.applied_by,
        committed.identity_nos,
    )


def identities_of(content: Content) -> list[Identity]:
    """Return the identities of all providers and sources that may serve a job under this configuration."""
    regions = regions_of(content)
    found = [
        Identity(
            of_provider(name, region),
            _json(_STAND_IN if content.is_simulated else _provider_content(provider, region)),
            _is_echo(provider),
        )
        for name, provider in content.providers.items()
        for region in regions_served(provider, regions)
    ]
    for name, connection in content.file.connections.items():
        key = IdentityKey(IdentityKind.CONNECTION, name, "")
        found.append(Identity(key, _json(connection.identity)))
    if content.file.imports is not None:
        found.append(Identity(IMPORT_ROOT, _json({"root": str(content.file.imports.root)})))
    return found


def registry_of(content: Content, *, max_cells: int, number: int = 0) -> Registry:
    """Return the registry of names that a spec may use, with the pauses that the file sets.

    A list of regions or questions in the file replaces the default one.
    """
    file = content.file
    regions = tuple(Region(name, region.aliases) for name, region in file.regions.items()) or DEFAULT_REGIONS
    names = [region.name for region in regions]
    return Registry(
        regions=regions,
        questions=file.questions or DEFAULT_QUESTIONS,
        providers=None if content.is_simulated else frozenset(file.providers),
        paused_regions=frozenset(name for name, region in file.regions.items() if region.paused),
        paused_providers=frozenset(name for name, provider in content.providers.items() if provider.paused),
        regions_by_provider={
            name: tuple(regions_served(provider, names))
            for name, provider in content.providers.items()
            if not _is_echo(provider)
        },
        max_cells=max_cells,
        connections={
            name: ImportConnection(
                SOURCE_BY_CONNECTION[connection.type].type_name, connection.listed_queries, connection.listed_tables
            )
            for name, connection in file.connections.items()
        },
        has_import_root=file.imports is not None,
        default_provider=file.default_provider or DEFAULT_PROVIDER,
        simulated_providers=frozenset(name for name, provider in content.providers.items() if _is_echo(provider)),
        configuration_no=number,
    )


def limits_of(content: Content) -> dict[PoolKey, int | None]:
    """Return the limit of the fleet's calls in flight for each pool; None: only the workers bound it."""
    regions = regions_of(content)
    limits: dict[PoolKey, int | None] = {
        (name, region): None if content.is_simulated else provider.max_concurrent
        for name, provider in content.providers.items()
        for region in regions_served(provider, regions)
    }
    return {**limits, IMPORT_POOL: None}


def regions_of(content: Content) -> list[str]:
    """Return the canonical names of the regions, in configured order."""
    return list(content.file.regions) or [region.name for region in DEFAULT_REGIONS]


def regions_served(provider: ProviderSettings, regions: Sequence[str]) -> list[str]:
    """Return the regions that a provider serves: `echo` serves all, other providers those with an address."""
    return [region for region in regions if _is_echo(provider) or region in provider.base_urls]


def simulating(content: Content) -> Content:
    """Return the content with `echo` in place of every provider."""
    return replace(content, is_simulated=True)


def _is_echo(provider: ProviderSettings) -> bool:
    return provider.type is ProviderType.ECHO


def _provider_content(provider: ProviderSettings, region: str) -> Mapping[str, object]:
    if _is_echo(provider):
        return {"type": provider.type}
    return {"type": provider.type, "url": str(provider.base_urls[region])}


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
