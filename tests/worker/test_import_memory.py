"""What an import may take of a worker's memory: bounded by bytes, however wide its rows are."""

from pathlib import Path

from tests.support.connections import publish_envelopes
from tests.support.erp_source import SCHEMA
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.outcomes import all_ended
from tests.support.workers import RunningWorker


async def test_rows_of_100_kb_leave_a_worker_below_its_300_mib(fleet, erp, connection, redis_url) -> None:
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute(
        f"CREATE TABLE {SCHEMA}.wide AS SELECT n AS id, repeat('x', 100000) AS v FROM generate_series(1, 5000) AS n"
    )
    await connection.execute(f"ALTER TABLE {SCHEMA}.wide ADD PRIMARY KEY (id)")
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.wide"}
    job_no = await store_import(connection, import_body({**table_type("wide"), "source": source}))
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection, seconds=120)
    assert await connection.fetchval("SELECT status FROM jobs") == "completed"
    assert peak_mib(worker) < 300


def peak_mib(worker: RunningWorker) -> float:
    """The most of a worker's memory that was resident at once."""
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
