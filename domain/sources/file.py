"""The file source of a spec: a path below the import root."""

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
        """Read a file source."""
        path = read_path(members, at, scope)
        return None if path is None else cls(path)
