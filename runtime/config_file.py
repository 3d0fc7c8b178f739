"""The TOML file: regions, providers, questions, connections and the root of imports."""

import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeAlias

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from domain.policy import MAX_CALL_SECONDS
from domain.registry import DEFAULT_REGIONS, ECHO, fold
from domain.sources.connection import ConnectionSettings, EnvironmentName, Name
from domain.sources.registry import SETTINGS_BY_CONNECTION
from domain.sources.sql import PostgresqlSettings
from domain.tenant_names import TENANTS, Tenants
from runtime.errors import SettingError
from runtime.typed_tables import ByType
from runtime.wrong_settings import sentence


def _without_account(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.username or url.password or url.fragment:
        raise ValueError("a key stays in the environment")
    return url


FOLDER = "a folder, relative to this file or absolute"
BaseUrl: TypeAlias = Annotated[AnyHttpUrl, AfterValidator(_without_account)]


class ProviderType(StrEnum):
    """How a provider is spoken to."""

    ECHO = "echo"
    OPENAI = "openai"
    HYBRID_ROUTER = "hybrid_router"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionSettings(_Table):
    """The aliases of a region, and whether it starts paused."""

    aliases: tuple[Name, ...] = Field(default=(), description="a list of other spellings")
    paused: bool = Field(default=False, description="true or false")
    tenants: Tenants | None = Field(default=None, description=TENANTS)


class ProviderSettings(_Table):
    """The addresses and limits of a provider."""

    type: ProviderType = Field(description="echo, openai or hybrid_router")
    timeout_seconds: float = Field(
        default=300,
        gt=0,
        le=MAX_CALL_SECONDS,
        allow_inf_nan=False,
        description=f"a number of seconds above 0, at most {MAX_CALL_SECONDS}: no policy lets a call take longer",
    )
    max_concurrent: int = Field(default=10, ge=1, description="a whole number of calls in flight per region, from 1")
    paused: bool = Field(default=False, description="true or false")
    tenants: Tenants | None = Field(default=None, description=TENANTS)
    api_key_env: EnvironmentName | None = Field(default=None, description="the name of an environment variable")
    base_urls: Mapping[Name, BaseUrl] = Field(
        default={},
        repr=False,
        description="an http:// or https:// URL for each region, without a user or password (see api_key_env)",
    )

    @model_validator(mode="after")
    def _has_somewhere_to_call(self) -> Self:
        if self.type is not ProviderType.ECHO and not self.base_urls:
            raise PydanticCustomError("base_urls_missing", "add a table base_urls with a URL for each region")
        return self


Connection: TypeAlias = Annotated[
    ConnectionSettings, ByType(SETTINGS_BY_CONNECTION, default=PostgresqlSettings.type_name)
]


class ImportRootSettings(_Table):
    """A root folder of files that some tenants import, in place of the root of the others."""

    root: Path = Field(description=FOLDER)
    tenants: Tenants = Field(description="a list of names of tenants, at least one")


class ImportSettings(_Table):
    """The root folder of files to import, and those that some tenants have in its place."""

    root: Path | None = Field(default=None, description=FOLDER)
    tenants: Tenants | None = Field(default=None, description=TENANTS)
    roots: Mapping[Name, ImportRootSettings] = Field(
        default={}, description="a table [imports.roots.<name>] for each further root"
    )

    @model_validator(mode="after")
    def _names_a_folder(self) -> Self:
        if self.root is None and (self.tenants or not self.roots):
            raise PydanticCustomError("contradiction", f"has no root: set root to {FOLDER}")
        return self

    @property
    def folders(self) -> list[tuple[Path, Tenants | None]]:
        """The roots, each with the tenants that it is for; None: all that no other root names."""
        shared: list[tuple[Path, Tenants | None]] = [] if self.root is None else [(self.root, self.tenants)]
        return [*shared, *((root.root, root.tenants) for root in self.roots.values())]


class ConfigFile(_Table):
    """The whole file. Every member is optional. `default_provider` is for models that name none."""

    default_provider: Name | None = Field(default=None, description="the name of a provider that is configured")
    regions: Mapping[Name, RegionSettings] = Field(default={}, description="a table [regions.<name>] for each region")
    providers: Mapping[Name, ProviderSettings] = Field(
        default={}, description="a table [providers.<name>] for each provider"
    )
    questions: Mapping[Name, Annotated[str, StringConstraints(min_length=1)]] = Field(
        default={}, description="the question's text in quotes"
    )
    connections: Mapping[Name, Connection] = Field(
        default={}, description="a table [connections.<name>] for each connection"
    )
    imports: ImportSettings | None = Field(default=None, description="a table [imports] with root")

    @property
    def tenants_by_place(self) -> dict[str, Tenants]:
        """The lists of tenants by their place in the file."""
        owned: dict[str, Tenants | None] = {
            **{f"regions.{name}": region.tenants for name, region in self.regions.items()},
            **{f"providers.{name}": provider.tenants for name, provider in self.providers.items()},
            **{f"connections.{name}": connection.tenants for name, connection in self.connections.items()},
        }
        if self.imports is not None:
            owned["imports"] = self.imports.tenants
            owned |= {f"imports.roots.{name}": root.tenants for name, root in self.imports.roots.items()}
        return {place: tenants for place, tenants in owned.items() if tenants is not None}


def read_config_file(path: Path) -> ConfigFile:
    """Read and check the file; raises SettingError with the place and the remedy."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"{path} can't be read ({error.strerror}): set BREAKWATER_CONFIG, or the argument, to a TOML file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} isn't TOML: {error}.") from None
    try:
        file = ConfigFile.model_validate(content)
    except ValidationError as error:
        raise SettingError(sentence(error, ConfigFile, name=lambda where: f"{where} in {path}")) from None
    _refuse_shared_spellings(file, path)
    _refuse_unknown_regions(file, path)
    _refuse_calls_as_echo(file, path)
    _refuse_unknown_default(file, path)
    return file if file.imports is None else file.model_copy(update={"imports": _from(path, file.imports)})


def _from(path: Path, imports: ImportSettings) -> ImportSettings:
    """Return the roots as absolute paths; refuse those that leave open where a tenant's files lie."""

    def absolute(root: Path) -> Path:
        return Path(os.path.normpath(path.absolute().parent / root))

    roots = {name: root.model_copy(update={"root": absolute(root.root)}) for name, root in imports.roots.items()}
    shared = None if imports.root is None else absolute(imports.root)
    found = imports.model_copy(update={"root": shared, "roots": roots})
    folders = [folder for folder, _ in found.folders]
    tenants = [tenant for _, named in found.folders for tenant in dict.fromkeys(named or ())]
    for noun, names in (("folder", [str(folder) for folder in folders]), ("tenant", tenants)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SettingError(f"imports in {path} names the {noun} {twice} for two roots: leave it with one of them.")
    return found


def _refuse_shared_spellings(file: ConfigFile, path: Path) -> None:
    region_by_spelling: dict[str, str] = {}
    for name, region in file.regions.items():
        for spelling in (name, *region.aliases):
            other = region_by_spelling.setdefault(fold(spelling), name)
            if other != name:
                raise SettingError(
                    f'regions.{name}.aliases in {path} claims "{spelling}", which regions.{other} has already: '
                    "leave it with one of the two."
                )


def _refuse_unknown_regions(file: ConfigFile, path: Path) -> None:
    known = list(file.regions) or [region.name for region in DEFAULT_REGIONS]
    for name, provider in file.providers.items():
        for region in provider.base_urls:
            if region not in known:
                raise SettingError(
                    f"providers.{name}.base_urls in {path} has a URL for {region}, which is no region: "
                    f"name one of {', '.join(known)}."
                )


def _refuse_calls_as_echo(file: ConfigFile, path: Path) -> None:
    """Reserve the name `echo`, by which executions show that no service was called, for the built-in provider."""
    echo = file.providers.get(ECHO)
    if echo is not None and echo.type is not ProviderType.ECHO:
        raise SettingError(
            f"providers.{ECHO}.type in {path} is {echo.type}, but {ECHO} names what calls nobody: give it another name."
        )


def _refuse_unknown_default(file: ConfigFile, path: Path) -> None:
    if file.default_provider is not None and file.default_provider not in file.providers:
        known = ", ".join(file.providers) or "none is configured"
        raise SettingError(
            f"default_provider in {path} is {file.default_provider}, which is no provider: name one of them ({known})."
        )
