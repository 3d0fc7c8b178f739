"""Which schema a release brings, and which ones it can work on."""

import asyncpg
import pytest

from db.connection_failures import SchemaNotServed
from db.migrate import migration_scripts
from db.schema import Schema, brought_revision, known_revisions, read_schema, require_schema

NOT_SERVED = (
    "its schema is 9001, which serves releases from 9000 on, and this one brings {brought}: start a later release."
)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (Schema(None), "it has no schema: run `breakwater migrate` first."),
        (Schema("0009"), "its schema is 0009 and this release needs {brought}: run `breakwater migrate` first."),
        (Schema(brought_revision()), None),
        (Schema("9001", oldest_served="0010"), None),
        (Schema("0000"), "its schema is 0000 and this release needs {brought}: run `breakwater migrate` first."),
        (Schema("9001", oldest_served=brought_revision()), None),
        (Schema("9001", oldest_served="9000"), NOT_SERVED),
    ],
)
def test_a_schema_serves_this_release_or_names_the_remedy(schema: Schema, reason: str | None) -> None:
    assert schema.mismatch == (reason and reason.format(brought=brought_revision()))


async def test_a_later_schema_says_which_releases_it_serves(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await require_schema(connection)
    await connection.execute("UPDATE alembic_version SET version_num = '9001'")
    assert await read_schema(connection) == Schema("9001", oldest_served="0010")
    await require_schema(connection)
    await connection.execute(
        "CREATE OR REPLACE FUNCTION oldest_served_schema() RETURNS text LANGUAGE sql IMMUTABLE RETURN '9000'::text"
    )
    with pytest.raises(SchemaNotServed, match="start a later release"):
        await require_schema(connection)
    await connection.close()


async def test_a_database_without_tables_has_no_schema(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    assert await read_schema(connection) == Schema(None)
    await connection.close()


def test_revisions_are_those_of_the_migrations() -> None:
    """They are read from the names of files; Alembic reads them from the migrations, and follows them from the head."""
    scripts = migration_scripts()
    assert known_revisions() == {script.revision for script in scripts.walk_revisions()}
    assert scripts.get_heads() == [brought_revision()]
