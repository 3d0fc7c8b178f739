"""Which schema a database has, and whether this release can work on it.

A release brings the schema of its newest migration. A schema says the oldest release that still works on it, by the
migration that is the newest of that release: `oldest_served_schema()`. A release knows its own migrations only; one
that it doesn't know, with a higher number than all of them, is of a later release.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from db.connection_failures import SchemaNotServed
from db.engine import Connection


@dataclass(frozen=True, slots=True)
class Schema:
    """`revision` is None where no migration has run; `oldest_served` is read of the schema of a later release."""

    revision: str | None
    oldest_served: str | None = None

    @property
    def is_later(self) -> bool:
        """Whether a later release has migrated."""
        return self.revision is not None and self.revision > max(known_revisions())

    @property
    def mismatch(self) -> str | None:
        """Why this release can't work on it and what to do; None if it can."""
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


def migration_config() -> Config:
    """Return where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@cache
def brought_revision() -> str:
    """Return the newest revision that this release brings."""
    return ScriptDirectory.from_config(migration_config()).get_current_head() or ""


@cache
def known_revisions() -> frozenset[str]:
    """Return all revisions that this release brings."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(migration_config()).walk_revisions())


async def read_schema(connection: Connection) -> Schema:
    """Return the schema that the database has at this moment."""
    is_migrated = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    found = Schema(await connection.fetchval("SELECT version_num FROM alembic_version") if is_migrated else None)
    if not found.is_later:
        return found
    return Schema(found.revision, await connection.fetchval("SELECT oldest_served_schema()"))


async def require_schema(connection: Connection) -> None:
    """Raise SchemaNotServed unless this release can work on the database's schema."""
    mismatch = (await read_schema(connection)).mismatch
    if mismatch:
        raise SchemaNotServed(mismatch)
