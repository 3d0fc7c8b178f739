"""The base of all sources in specs: a type, and the names that lead to its rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from domain.scope import Scope
from domain.sources.connection import ConnectionSettings


@dataclass(frozen=True, slots=True)
class Source(ABC):
    """The source of a record type's rows. The fields of a subclass are texts that a spec gives.

    A source that is no `ConnectionSource` lies below the import root, and is read as it was when it was surveyed.
    """

    type_name: ClassVar[str]
    """The value of `type` in a spec; the package of this name in `sources/` opens it."""
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]]
    """The fields in order, each with the JSON schema that the API shows."""
    label: ClassVar[str]
    """A format of the fields that names such a source in a sentence."""

    @classmethod
    @abstractmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Read a source of this type; None after adding an error."""

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Self:
        """Rebuild a source from the result of `to_json`."""
        return cls(**{name: stored[name] for name in cls.schemas})

    def to_json(self) -> dict[str, str]:
        """Return the source as the API shows it."""
        return {"type": self.type_name, **self.names}

    @property
    def names(self) -> dict[str, str]:
        """The fields, by name."""
        return {declared.name: getattr(self, declared.name) for declared in fields(self)}


@dataclass(frozen=True, slots=True)
class ConnectionSource(Source):
    """A source that is read over a configured connection."""

    settings: ClassVar[type[ConnectionSettings]]
    """The settings of the connections of such sources."""

    connection: str


CONNECTION_SCHEMA = {"type": "string", "description": "One of the configured connections of this type."}
