"""A database that real workers import from: tables in a schema beside the service's own, and a folder of files."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.engine import Connection
from tests.support.configurations import commit_file
from tests.support.connections import database_connections
from tests.support.import_bodies import configured, import_body, table_type
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

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


def two_tables_body() -> dict:
    return import_body(
        {**table_type("line", depends_on=["customer"]), "source": _source("line")},
        {**table_type("customer"), "source": _source("customer")},
        policy={"batch_size": 100},
    )


def _source(table: str) -> dict:
    return {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.{table}"}


@dataclass(frozen=True)
class Hold:
    """What keeps a table from being counted."""

    locker: Connection

    async def release(self) -> None:
        """Let it be counted before the block ends."""
        await self.locker.execute("COMMIT")


@asynccontextmanager
async def table_held(database_url: str, table: str) -> AsyncIterator[Hold]:
    """Nobody can count this table meanwhile."""
    async with database_connections(database_url) as (locker,):
        await locker.execute("BEGIN")
        await locker.execute(f"LOCK TABLE {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE")
        yield Hold(locker)


async def coordination_lasts(connection: Connection, job_no: int, *, seconds: float) -> None:
    """Wait until a coordination has been under way for so long, renewed by its first holder."""

    async def look() -> bool:
        return await connection.fetchval(
            """
            SELECT i.heartbeat_at - j.started_at >= $2::float8 * interval '1 second' AND i.fence = 1
            FROM imports AS i JOIN jobs AS j USING (job_no)
            WHERE i.job_no = $1
            """,
            job_no,
            seconds,
        )

    await eventually_async(look, seconds=2 * seconds + 10, what=f"a coordination of {seconds} s")


async def assert_imported_once(connection: Connection, job_no: int) -> None:
    """One set of waves, contiguous, whose batches partition the rows; and every row as the source has it."""
    job = await connection.fetchrow("SELECT status, planned, completed FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("completed", 12, 12)
    waves = await connection.fetch(
        "SELECT wave_no, level, total_batches, status FROM waves WHERE job_no = $1 ORDER BY wave_no", job_no
    )
    assert [tuple(row) for row in waves] == [(1, 0, 6, "completed"), (2, 1, 6, "completed")]
    for table in ("customer", "line"):
        differing = await connection.fetchval(
            f"""
            SELECT count(*)
            FROM {SCHEMA}.{table} AS t
            FULL JOIN (
                SELECT r.* FROM imported_records AS r JOIN record_sets AS s USING (record_set_no)
                WHERE s.record_type = '{table}'
            ) AS r ON r.record_key = t.id::text
            WHERE t.id IS NULL OR r.record_key IS NULL OR r.payload ->> 'name' <> t.name
            """
        )
        assert differing == 0
