"""Fixtures of tests in which real workers import: a source's tables beside the service's own, and a folder of files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.engine import Connection
from tests.configuration import commit_file
from tests.fleet import Fleet
from tests.imports import configured

SCHEMA = "erp"


@dataclass(frozen=True)
class Erp:
    """A source: tables in a schema of the test's database. `data` is the import root."""

    connection: Connection
    data: Path

    async def table(self, name: str, rows: int) -> None:
        """Make a table of so many rows with gaps in its keys."""
        await self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        await self.connection.execute(
            f"""
            CREATE TABLE {SCHEMA}.{name} AS
            SELECT n * 3 AS id, md5(n::text) AS name, n % 7 AS kind FROM generate_series(1, {rows}) AS n
            """
        )
        await self.connection.execute(f"ALTER TABLE {SCHEMA}.{name} ADD PRIMARY KEY (id)")

    async def tables(self, names: Iterable[str], rows: int) -> None:
        """Make several of them."""
        for name in names:
            await self.table(name, rows)


@pytest.fixture
def erp(fleet: Fleet, connection: Connection, tmp_path: Path) -> Erp:
    """A source of the fleet's workers, which are configured to read it; their leases are short."""
    fleet.settings = {
        "LEASE_SECONDS": 1,
        "HEARTBEAT_SECONDS": 0.2,
        "RECONCILE_SECONDS": 0.3,
        **fleet.settings,
        "CONFIG": configured(tmp_path),
        "DATA_DIR": tmp_path / "state",
    }
    fleet.environment = {"ERP_URL": fleet.database_url}
    commit_file(fleet.database_url, configured(tmp_path))
    return Erp(connection, tmp_path / "data")
