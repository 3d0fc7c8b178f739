"""The schema of a database, and whether this release can work on it.

A release brings the schema of its newest migration. A schema names the oldest release that works on it by the newest
migration of that release: `oldest_served_schema()`. A release knows only its own migrations; an unknown migration with
a higher number is of a later release.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg

from db.connection_failures import SchemaNotServed
from db.engine import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """`revision` is None if no migration has run; `oldest_served` is set only for the schema of a later release."""

    revision: str | None
    oldest_served: str | None = None

    @property
    def is_later(self) -> bool:
        """Whether a later release has migrated."""
        return self.revision is not None and self.revision > max(known_revisions())

    @property
    def mismatch(self) -> str | None:
        """Why this release can't work on it, and the remedy; None if it can."""
        brought = brought_revision()
        if self.revision == brought:
            return None
        if self.revision is None:
            return "it has no schema: run `breakwater migrate` first."
        if not self.is_later:
            return f"its schema is {self.revision} and this release needs {brought}: run `breakwater migrate` first."
        if self.oldest_served in known_revisions():
            return None
        return (
            f"its schema is {self.revision}, which serves releases from {self.oldest_served} on, "
            f"and this one brings {brought}: start a later release."
        )


@cache
def brought_revision() -> str:
    """Return the newest revision that this release brings."""
    return max(known_revisions())


@cache
def known_revisions() -> frozenset[str]:
    """Return all revisions that this release brings, by the names of their files.

    Alembic would run each of them, and loading it takes as long as a tenth of a worker's start; only migrations do.
    """
    return frozenset(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*_*.py"))


async def read_schema(connection: Connection) -> Schema:
    """Return the schema that the database has at this moment. Raises SchemaNotServed if this user may not read it."""
    try:
        return await _read(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaNotServed(
            "its user may not read the tables: grant it the role breakwater_service, or run `breakwater migrate` as "
            "their owner."
        ) from error


async def _read(connection: Connection) -> Schema:
    is_migrated = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    found = Schema(await connection.fetchval("SELECT version_num FROM alembic_version") if is_migrated else None)
    if not found.is_later:
        return found
    return Schema(found.revision, await connection.fetchval("SELECT oldest_served_schema()"))


async def require_schema(connection: Connection) -> Schema:
    """Return the database's schema; raise SchemaNotServed unless this release can work on it."""
    found = await read_schema(connection)
    if found.mismatch:
        raise SchemaNotServed(found.mismatch)
    return found
