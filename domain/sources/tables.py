"""The table source that specs share for all databases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.scope import Scope
from domain.sources.names import TABLE_SCHEMA, read_listed_table
from domain.sources.source import CONNECTION_SCHEMA, ConnectionSource


@dataclass(frozen=True, slots=True)
class TableSource(ConnectionSource):
    """A listed table of a connection; `table` may name its schema before a dot."""

    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {"connection": CONNECTION_SCHEMA, "table": TABLE_SCHEMA}
    label: ClassVar[str] = "table {table} of {connection}"

    table: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Read a table source."""
        names = read_listed_table(members, at, cls.type_name, scope)
        return None if names is None else cls(*names)
