"""A file below the import root, as a spec names it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.scope import Scope
from domain.sources.names import PATH_SCHEMA, read_path
from domain.sources.source import Source


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """A file below the import root; `path` is relative to it and has neither `..` nor a backslash."""

    type_name: ClassVar[str] = "file"
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {"path": PATH_SCHEMA}
    label: ClassVar[str] = "file {path}"

    path: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Return the file that an object names."""
        path = read_path(members, at, scope)
        return None if path is None else cls(path)
