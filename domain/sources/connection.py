"""The settings of a connection: the fields of all types, and those that several types share."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.table_names import TableName
from domain.tenant_names import TENANTS, Tenants

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
VARIABLE = "the name of an environment variable"


class ConnectionSettings(BaseModel, ABC):
    """A connection that imports read; its URL and its keys stay in the environment.

    A spec names a listed table or query, never SQL. Nothing else is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    type_name: ClassVar[str]
    """The value of `type`."""

    type: str
    url_env: EnvironmentName = Field(description=VARIABLE)
    tenants: Tenants | None = Field(default=None, description=TENANTS)

    @property
    def listed_tables(self) -> frozenset[TableName]:
        """The tables and views that may be read."""
        return frozenset()

    @property
    def listed_queries(self) -> frozenset[str]:
        """The names of the queries that may be asked."""
        return frozenset()

    @property
    def key_envs(self) -> tuple[str, ...]:
        """The variables that hold keys."""
        return ()

    @property
    def identity(self) -> dict[str, object]:
        """The content of its identity. A change holds jobs, so the form of this JSON must not change."""
        return {"type": self.type, "url_env": self.url_env, "queries": {}}

    @abstractmethod
    def fault(self, url: str) -> str | None:
        """Return the error in the value of `url_env`, to follow the variable's name; it shows no part of the value."""


def _with_schema(text: str) -> str:
    table = TableName.parse(text)
    if table is None or table.schema is None:
        raise ValueError("a table is listed with its schema")
    return text


ListedTable: TypeAlias = Annotated[str, AfterValidator(_with_schema)]


class DatabaseSettings(ConnectionSettings):
    """A connection to a database, of which the listed tables may be read."""

    tables: tuple[ListedTable, ...] = Field(
        default=(),
        description="a list of tables and views, each as 'schema.table', with double quotes around a name that isn't "
        "letters, digits and _",
    )

    @cached_property
    def listed_tables(self) -> frozenset[TableName]:  # looked at for each record type
        """The tables and views that may be read."""
        return frozenset(table for table in map(TableName.parse, self.tables) if table is not None)
