"""The configuration in force, read from PostgreSQL: its content, identities, registry and limits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
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
from domain.tenant_names import Tenants
from runtime.config_file import ConfigFile, ImportSettings, ProviderSettings, ProviderType
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
    """A committed configuration, with the numbers of its identities, and the tenants that it names."""

    number: int
    content: Content
    applied_at: datetime
    applied_by: str
    identity_nos: Mapping[IdentityKey, int]
    named_tenants: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lists = self.content.file.tenants_by_place.values()
        object.__setattr__(self, "named_tenants", frozenset(chain.from_iterable(lists)))


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
        identity
        for name, provider in content.providers.items()
        for region in regions_served(provider, regions)
        for identity in _for_each(
            of_provider(name, region),
            _STAND_IN if content.is_simulated else _provider_content(provider, region),
            _in_both(provider.tenants, content.file.regions[region].tenants if content.file.regions else None),
            is_simulated=_is_echo(provider),
        )
    ]
    for name, connection in content.file.connections.items():
        key = IdentityKey(IdentityKind.CONNECTION, name, "")
        found += _for_each(key, connection.identity, connection.tenants)
    if content.file.imports is not None:
        for folder, tenants in content.file.imports.folders:
            found += _for_each(IMPORT_ROOT, {"root": str(folder)}, tenants)
    return found


def services_of(content: Content) -> set[tuple[IdentityKey, str]]:
    """Return the type and address of everything, whichever tenants it is for."""
    found = set()
    for identity in identities_of(content):
        service = {name: value for name, value in json.loads(identity.content).items() if name != "tenant"}
        found.add((identity.key.shared, _json(service)))
    return found


def registry_of(content: Content, *, max_cells: int, number: int = 0, tenant: str | None = None) -> Registry:
    """Return the registry of names that a spec may use, with the pauses that the file sets.

    That of a `tenant` is as if what isn't for it weren't configured; without one, it is that of the whole installation.
    A list of regions or questions in the file replaces the default one.
    """
    file = content.file if tenant is None else file_for(tenant, content.file)
    listed = tuple(Region(name, region.aliases) for name, region in file.regions.items())
    regions = listed if content.file.regions else DEFAULT_REGIONS
    content = replace(content, file=file)
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


def file_for(tenant: str, file: ConfigFile) -> ConfigFile:
    """Return the file as if what isn't for this tenant weren't in it.

    A provider whose regions are all of others isn't, either.
    """
    regions = {name: region for name, region in file.regions.items() if _is_for(tenant, region.tenants)}
    served = list(regions) if file.regions else [region.name for region in DEFAULT_REGIONS]
    providers = {
        name: provider
        for name, provider in file.providers.items()
        if _is_for(tenant, provider.tenants) and regions_served(provider, served)
    }
    connections = {name: each for name, each in file.connections.items() if _is_for(tenant, each.tenants)}
    root = None if file.imports is None else root_for(tenant, file.imports)
    return file.model_copy(
        update={
            "regions": regions,
            "providers": providers,
            "connections": connections,
            "imports": None if root is None else ImportSettings(root=root),
            "default_provider": file.default_provider if file.default_provider in providers else None,
        }
    )


def root_for(tenant: str, imports: ImportSettings) -> Path | None:
    """Return the folder of a tenant's files: the one that names it, else every tenant's, if there is one."""
    for folder, tenants in imports.folders:
        if tenants is not None and tenant in tenants:
            return folder
    return imports.root if imports.tenants is None else None


def _for_each(
    key: IdentityKey, content: Mapping[str, object], tenants: Tenants | None, *, is_simulated: bool = False
) -> list[Identity]:
    """Return the identity of what is every tenant's, or one for each of these tenants."""
    if tenants is None:
        return [Identity(key, _json(content), is_simulated)]
    return [
        Identity(key._replace(tenant=tenant), _json({**content, "tenant": tenant}), is_simulated)
        for tenant in dict.fromkeys(tenants)
    ]


def _in_both(one: Tenants | None, other: Tenants | None) -> Tenants | None:
    if one is None or other is None:
        return one or other
    return tuple(tenant for tenant in one if tenant in other)


def _is_for(tenant: str, tenants: Tenants | None) -> bool:
    return tenants is None or tenant in tenants


def _is_echo(provider: ProviderSettings) -> bool:
    return provider.type is ProviderType.ECHO


def _provider_content(provider: ProviderSettings, region: str) -> Mapping[str, object]:
    if _is_echo(provider):
        return {"type": provider.type}
    return {"type": provider.type, "url": str(provider.base_urls[region])}


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
