"""The classes for reads match the migrated tables."""

import importlib
import pkgutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from db import tables
from db.engine import create_engine


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [found for found in compare_metadata(context, SQLModel.metadata) if "alembic_version" not in str(found)]


# SQLAlchemy reflects a check that is NOT VALID with an option that it then warns it doesn't know.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
async def test_tables_and_migrations_agree(database_url: str) -> None:
    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
