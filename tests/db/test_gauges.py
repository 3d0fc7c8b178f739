"""A scrape and GET /queue stay cheap: for any number of waiting and ended jobs, few rows are read."""

from collections.abc import Iterator
from typing import Any

import pytest

from db.engine import statement
from db.reading import in_index_order

MUCH = """
INSERT INTO jobs (
    tenant_no, id, kind, name, spec_hash, status, turn, planned, completed, min_success_rate,
    created_at, queued_at, started_at, finished_at
)
SELECT
    1, status || n, 'inference', 'n', 'h', status, n, 1, (status = 'completed')::int, 1,
    now() - interval '1 hour', now() - interval '1 hour',
    CASE WHEN status <> 'queued' THEN now() END, CASE WHEN status = 'completed' THEN now() END
FROM unnest(ARRAY['completed', 'queued', 'running']) AS status
CROSS JOIN generate_series(1, 3000) AS n;

INSERT INTO specs (job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, spec)
SELECT job_no, 1, name, spec_hash, '{m}', '{us-east}', '{q}', '{0}', '{}' FROM jobs;

INSERT INTO batches (
    job_no, batch_no, wave_no, provider, region, region_no, first_model_no, first_question_no, last_model_no,
    last_question_no, cells, open_cells, status
)
SELECT job_no, 1, 1, 'p' || job_no % 2, 'us-east', 0, 0, 0, 0, 0, 1, 1, 'pending' FROM jobs WHERE status = 'running';

INSERT INTO ready (job_no, batch_no, provider, region, tenant_no, cells, turn, not_before, queued_at)
SELECT job_no, 1, provider, region, 1, 1, job_no, now() - interval '1 hour', now() - interval '1 hour' FROM batches;

INSERT INTO dead_letters (tenant_no, job_no, region_no, model_no, question_no, attempts, error_code, error_detail)
SELECT 1, job_no, 0, 0, 0, 1, 'c', 'd' FROM jobs WHERE status = 'completed';
"""
STATEMENTS = {
    "measure_work": (100,),
    "measure_due": (100,),
    "count_dead_letters": (100,),
    "list_stuck": (10.0, 50, 10_000),
    "list_pools": (),
}


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for inner in plan.get("Plans", []):
        yield from scans(inner)


def rows_read(scan: dict[str, Any]) -> float:
    return float((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"])


@pytest.mark.parametrize("statistics", ["young", "analyzed"])
async def test_few_rows_are_read_of_many(
    connection: Any,
    statistics: str,
    subtests: pytest.Subtests,
) -> None:
    await connection.execute(f"SET session_replication_role = replica; {MUCH}")
    if statistics == "analyzed":
        await connection.execute("ANALYZE")
    for name, arguments in STATEMENTS.items():
        with subtests.test(name):
            explain = f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) {statement(name)}"
            [explained] = await in_index_order(connection, lambda c: c.fetchval(explain, *arguments))  # noqa: B023
            read = {
                f"{node['Node Type']} {node['Relation Name']}": rows_read(node) for node in scans(explained["Plan"])
            }
            assert max(read.values()) <= 1000, read
