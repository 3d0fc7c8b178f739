"""What an import may take of a worker's memory: bounded by bytes, however wide its rows are."""

from pathlib import Path

from tests.fleet import RunningWorker, all_ended, ring
from tests.import_fixtures import SCHEMA, erp
from tests.imports import import_body, seed_import, table_type

__all__ = ["erp"]


async def test_rows_of_100_kb_leave_a_worker_below_its_300_mib(fleet, erp, connection, redis_url) -> None:
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute(
        f"CREATE TABLE {SCHEMA}.wide AS SELECT n AS id, repeat('x', 100000) AS v FROM generate_series(1, 5000) AS n"
    )
    await connection.execute(f"ALTER TABLE {SCHEMA}.wide ADD PRIMARY KEY (id)")
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.wide"}
    job_no = await seed_import(connection, import_body({**table_type("wide"), "source": source}))
    (worker,) = fleet.start(1)
    await ring(redis_url, [job_no])
    await all_ended(connection, seconds=120)
    assert await connection.fetchval("SELECT status FROM jobs") == "completed"
    assert peak_mib(worker) < 300


def peak_mib(worker: RunningWorker) -> float:
    """The most of a worker's memory that was resident at once."""
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
