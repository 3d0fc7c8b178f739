"""A time long ago is found in the audit log by an index, however many entries came since."""

from datetime import UTC, datetime, timedelta

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
