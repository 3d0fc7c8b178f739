"""The SQLite source of a spec: a table of a file below the import root."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.notes import Part
from domain.reading import read_verbatim
from domain.scope import Scope
from domain.sources.names import PATH_SCHEMA, read_name, read_path
from domain.sources.source import Source

MAX_TABLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class SqliteSource(Source):
    """A table or view of a SQLite file; `table` is its name as the file has it, case and all."""

    type_name: ClassVar[str] = "sqlite"
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "path": PATH_SCHEMA,
        "table": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_TABLE_LENGTH,
            "description": "A table or view of the file, as the file spells it.",
        },
    }
    label: ClassVar[str] = "table {table} of file {path}"

    path: str
    table: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Read a SQLite source."""
        path = read_path(members, at, scope)
        given = read_name(members, "table", at, scope.findings)
        table = None if given is None else read_verbatim(Part(given, f"{at}/table"), MAX_TABLE_LENGTH, scope.findings)
        return None if path is None or table is None else cls(path, table)
