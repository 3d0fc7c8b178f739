"""SuiteQL: the source of a spec, and the settings of a connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from domain.scope import Scope
from domain.sources.connection import VARIABLE, ConnectionSettings, EnvironmentName, Name
from domain.sources.names import read_connection, read_name, refuse_unknown_name
from domain.sources.source import CONNECTION_SCHEMA, ConnectionSource

Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SuiteqlSettings(ConnectionSettings):
    """A connection to a SuiteQL service, with its named queries."""

    type_name: ClassVar[str] = "suiteql"

    token_env: EnvironmentName | None = Field(default=None, description=VARIABLE)
    queries: Mapping[Name, Query] = Field(default={}, description="the text of a SuiteQL query in quotes")

    @model_validator(mode="after")
    def _has_what_it_asks_with(self) -> Self:
        if not (self.token_env and self.queries):
            raise PydanticCustomError(
                "contradiction", "is of type suiteql: add token_env and a table queries with at least one query"
            )
        return self

    @property
    def listed_queries(self) -> frozenset[str]:
        """The names of the queries."""
        return frozenset(self.queries)

    @property
    def key_envs(self) -> tuple[str, ...]:
        """The variable of the token."""
        return (self.token_env,) if self.token_env else ()

    @property
    def identity(self) -> dict[str, object]:
        """The texts of the queries are part of it: a changed query is another identity."""
        return {**super().identity, "queries": dict(self.queries)}

    def fault(self, url: str) -> str | None:
        """Return why a text isn't the URL of a service."""
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc:
            return None
        return (
            "isn't a URL of type suiteql: "
            "set it to https://account.suitetalk.api.netsuite.com, without a path, a user or a password."
        )


@dataclass(frozen=True, slots=True)
class SuiteqlSource(ConnectionSource):
    """A named query of a configured SuiteQL service."""

    type_name: ClassVar[str] = "suiteql"
    schemas: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "connection": CONNECTION_SCHEMA,
        "query": {"type": "string", "description": "One of the connection's named queries."},
    }
    label: ClassVar[str] = "query {query} of {connection}"
    settings: ClassVar[type[ConnectionSettings]] = SuiteqlSettings

    query: str

    @classmethod
    def read(cls, members: Mapping[str, Any], at: str, scope: Scope) -> Self | None:
        """Read a SuiteQL source."""
        connection = read_connection(members, at, cls.type_name, scope)
        query = read_name(members, "query", at, scope.findings)
        if connection is None or query is None:
            return None
        allowed = scope.registry.connections[connection].queries
        if query in allowed:
            return cls(connection, query)
        refuse_unknown_name(query, f"{at}/query", "query", sorted(allowed), scope.findings)
        return None
