"""A time long ago is found in the audit log by an index, however many entries came since."""

from datetime import UTC, datetime, timedelta

import pytest

from db.audit_log import NEWEST, AuditFilter, list_audit_log
from db.engine import Connection, create_engine
from tests.support.waiting import eventually_async

ENTRIES = 20_000
FILL = """
INSERT INTO audit_entries (at, action, target, outcome)
SELECT now() - n * interval '1 second', 'keys create', '{}', 'done'
FROM generate_series($1::int, 1, -1) AS n
"""
SUBMIT = """
INSERT INTO submissions (tenant_no, outcome, reason, status_code, request_id, submitted_at)
SELECT 1, 'rejected', 'spec_rejected', 422, n, now() - n * interval '1 second'
FROM generate_series($1::int, 1, -1) AS n
"""
LOOKS = 3
READ = """
SELECT sum(idx_scan) FILTER (WHERE indexrelname LIKE '%by_time')::int AS by_time, sum(idx_tup_read)::int AS rows
FROM pg_stat_user_indexes
WHERE relname IN ('audit_entries', 'submissions')
"""


async def test_a_time_is_found_without_reading_what_came_since(connection: Connection, database_url: str) -> None:
    await connection.execute(FILL, ENTRIES)
    await connection.execute(SUBMIT, ENTRIES)
    await connection.execute("ANALYZE audit_entries, submissions")
    await connection.execute("SELECT pg_stat_reset()")
    then = datetime.now(UTC) - timedelta(seconds=ENTRIES - 100)
    wanted = AuditFilter(since=then, until=then + timedelta(seconds=10))
    # What PostgreSQL may choose after some looks with any values.
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"ALTER DATABASE {name} SET plan_cache_mode = force_generic_plan")
    engine = create_engine(database_url, size=1)
    for _ in range(LOOKS):
        page = await list_audit_log(engine, wanted, before=NEWEST, limit=50)
        assert len(page.facts) == 20
    await engine.dispose()  # with its session, which tells what it read

    async def read() -> tuple[int, int] | None:
        found = await connection.fetchrow(READ)
        return (found["by_time"], found["rows"]) if found["by_time"] else None

    by_time, rows = await eventually_async(read, what="the session told what it read")
    assert by_time >= 2 * LOOKS
    assert 20 * LOOKS <= rows < 400 * LOOKS  # the planner looks at the ends of an index, too


RARE = """
INSERT INTO audit_entries (at, tenant_no, key_id, action, target, outcome)
SELECT now(), CASE WHEN n > $1::int - 60 THEN 2 ELSE 1 END, CASE WHEN n > $1 - 60 THEN 'rare' ELSE 'often' END,
    CASE WHEN n > $1 - 60 THEN 'keys create' ELSE 'POST /jobs/{job_id}/cancel' END, '{}', 'done'
FROM generate_series($1, 1, -1) AS n
"""
SUBMIT_RARE = """
INSERT INTO submissions (tenant_no, outcome, reason, status_code, request_id, submitted_by)
SELECT CASE WHEN n > $1::int - 60 THEN 2 ELSE 1 END, 'rejected', 'spec_rejected', 422, n,
    CASE WHEN n > $1 - 60 THEN 'key:rare' ELSE 'key:often' END
FROM generate_series($1, 1, -1) AS n
"""
ROWS_READ = """
SELECT sum(t.seq_tup_read)::int + (
    SELECT sum(i.idx_tup_read)::int FROM pg_stat_user_indexes AS i WHERE i.relname IN ('audit_entries', 'submissions')
)
FROM pg_stat_user_tables AS t
WHERE t.relname IN ('audit_entries', 'submissions')
"""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(action="keys create"), 60),
        (AuditFilter(tenant="acme"), 120),
        (AuditFilter(tenant="empty"), 0),
        (AuditFilter(tenant="unknown"), 0),
        (AuditFilter(key_id="rare"), 120),
        (AuditFilter(key_id="nothing"), 0),
        (AuditFilter(action="POST /jobs", key_id="rare"), 60),
        (AuditFilter(action="POST /jobs/{job_id}/cancel", tenant="acme"), 0),
        (AuditFilter(action="POST /jobs/{job_id}/cancel"), None),
    ],
    ids=["action", "tenant", "no-entries", "no-tenant", "key", "no-key", "posts-of-key", "none-of-tenant", "frequent"],
)
async def test_a_page_reads_no_more_than_it_shows_however_rare_and_old_that_is(
    connection: Connection, database_url: str, wanted: AuditFilter, found: int | None
) -> None:
    await connection.execute("INSERT INTO tenants (tenant_no, name) VALUES (2, 'acme'), (3, 'empty')")
    await connection.execute(RARE, ENTRIES)
    await connection.execute(SUBMIT_RARE, ENTRIES)
    await connection.execute("ANALYZE audit_entries, submissions, tenants")
    await connection.execute("SELECT pg_stat_reset()")
    engine = create_engine(database_url, size=1)
    first = await list_audit_log(engine, wanted, before=NEWEST, limit=50)
    second = await list_audit_log(engine, wanted, before=NEWEST.after(first.facts), limit=100)
    await engine.dispose()  # with its session, which tells what it read
    assert len(first.facts) + len(second.facts) == (150 if found is None else found)

    async def is_told() -> bool:
        sessions: int = await connection.fetchval(
            "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        )
        return sessions > 0

    await eventually_async(is_told, what="the session told what it read")
    assert await connection.fetchval(ROWS_READ) < 1000
