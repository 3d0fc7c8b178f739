"""Submissions are looked up and stored by index, however young the statistics of their tables are."""

import json
from typing import Any

import asyncpg
import pytest

from db.engine import statement
from tests.support.jobs import job_body, store_jobs

JOBS = 5_000
WANTED = 16
MOST_READ = 200
FILL = """
INSERT INTO jobs (
    tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate, status, error_code, completed, started_at,
    finished_at
)
SELECT
    1, 'job-' || n, 'inference', 'n', 'h1:' || n / 4, n, 1, 1,
    (ARRAY['queued', 'completed', 'failed', 'cancelled'])[1 + n % 4],
    CASE n % 4 WHEN 2 THEN 'busy' END, (n % 4 = 1)::int, CASE n % 4 WHEN 0 THEN NULL ELSE now() END,
    CASE n % 4 WHEN 0 THEN NULL ELSE now() END
FROM generate_series(1, $1::int) AS n
"""


def rows_read(node: dict[str, Any]) -> int:
    """Rows that the scans below a plan's node gave or filtered out, over all of their loops."""
    read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if node.get("Relation Name") == "jobs" else 0
    return round(read * node["Actual Loops"]) + sum(rows_read(below) for below in node.get("Plans", ()))


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_group_is_looked_up_without_reading_other_jobs(
    database_url: str, mode: str, *, is_analyzed: bool
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER USER")
        await connection.execute("ALTER TABLE jobs DROP CONSTRAINT job_ends_with_its_last_cell")
        await connection.execute(FILL, JOBS)
        if is_analyzed:
            await connection.execute("ANALYZE jobs")
        await connection.execute(f"SET plan_cache_mode = {mode}")
        types = "int[], text[], text[], text[], float8, float8"
        await connection.execute(f"PREPARE looking ({types}) AS {statement('look_up_submissions')}")
        empty = ",".join(["NULL"] * WANTED)
        ids = ",".join(["NULL"] * (WANTED - 2) + ["'job-7'", "'none'"])
        hashes = ",".join(f"'h1:{n}'" for n in range(WANTED - 1)) + ",'h1:none'"
        tenants = f"array_fill(1, ARRAY[{WANTED}])"
        given = f"{tenants}, ARRAY[{empty}]::text[], ARRAY[{ids}]::text[], ARRAY[{hashes}]::text[], 24, 60"
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE looking ({given})")
        assert rows_read(json.loads(text)[0]["Plan"]) < MOST_READ
        found = await connection.fetch(f"EXECUTE looking ({given})")
        assert [row["hash_is_active"] for row in found] == [False, *[True] * (WANTED - 2), False]
    finally:
        await connection.close()


READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_group_is_stored_without_reading_the_queue(
    connection: asyncpg.Connection, mode: str, *, is_analyzed: bool
) -> None:
    await connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    await store_jobs(connection, [job_body()] * JOBS)
    if is_analyzed:
        await connection.execute("ANALYZE jobs")
    await connection.execute(f"SET plan_cache_mode = {mode}")
    async with connection.transaction():
        before = await connection.fetchval(READ)
        await store_jobs(connection, [job_body()] * WANTED)
        assert 0 < await connection.fetchval(READ) - before < MOST_READ
