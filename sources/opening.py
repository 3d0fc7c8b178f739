"""Opening configured sources: by the package of the source's type, which is loaded when it is first used.

`domain/sources/registry.py` lists the types. The package `sources/<type>` has a module `opening` with a class `Opener`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pydantic import SecretStr

from domain.sources.connection import ConnectionSettings
from sources.protocol import Source
from sources.staged.parser import Parser


@dataclass(frozen=True, slots=True)
class ReachedConnection:
    """A connection as it is reached from this process; `keys` are the values of the variables that hold keys."""

    name: str
    settings: ConnectionSettings
    url: str
    keys: Mapping[str, SecretStr]


@dataclass(frozen=True, slots=True)
class ImportRoot:
    """The folder that files are imported from, where they are staged, and by which processes."""

    folder: Path
    staging_folder: Path
    parser: Parser


Place: TypeAlias = ReachedConnection | ImportRoot


class Opener(Protocol):
    """Opens the sources of one type in one place, for all of a process. Made of that place."""

    def open(self, source: Any) -> Source:
        """Return a source, of the type's class in `domain/sources`, to read. Raises SourceError."""
        ...

    def follow(self, place: Any) -> None:
        """Take note of settings that apply at once."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


def opener(type_name: str, place: Place) -> Opener:
    """Return the opener for sources of a listed type."""
    made: Opener = import_module(f"sources.{type_name}.opening").Opener(place)
    return made
