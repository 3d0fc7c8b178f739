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
    """A connection with this process's credentials; `keys` are the values of the variables that hold keys."""

    name: str
    settings: ConnectionSettings
    url: str
    keys: Mapping[str, SecretStr]


@dataclass(frozen=True, slots=True)
class ImportRoot:
    """The folder of files to import, the folder where they are staged, and the processes that parse them.

    What lies below a `hidden` folder isn't there: it is another tenant's.
    """

    folder: Path
    staging_folder: Path
    parser: Parser
    hidden: tuple[Path, ...] = ()


Place: TypeAlias = ReachedConnection | ImportRoot


class Opener(Protocol):
    """Opens the sources of one type at one place, for all of a process."""

    def open(self, source: Any) -> Source:
        """Return an opened source for a spec of the type's class in `domain/sources`. Raises SourceError."""
        ...

    def follow(self, place: Any) -> None:
        """Apply those settings that may change while sources are open."""
        ...

    async def aclose(self) -> None:
        """Close all open sources."""
        ...


def opener(type_name: str, place: Place) -> Opener:
    """Return the opener for sources of a listed type."""
    made: Opener = import_module(f"sources.{type_name}.opening").Opener(place)
    return made
