"""The audit log loses what is older than its owner wants to keep, and nothing else, whoever asks."""

import asyncpg
import pytest

from db.audit_retention import remove_old_entries, set_retention
from db.engine import Connection

FILL = """
WITH entries AS (
    INSERT INTO audit_entries (at, tenant_no, action, target, outcome)
    SELECT now() - days * interval '1 day', 1, 'keys create', json_build_object('days', days), 'done'
    FROM unnest(ARRAY[0, 29, 31, 400]) AS days
)
INSERT INTO submissions (tenant_no, job_no, outcome, reason, status_code, request_id, submitted_at)
SELECT 1, CASE WHEN has_job THEN 1 END, CASE WHEN has_job THEN 'created' ELSE 'rejected' END, 'x', 202, days,
    now() - days * interval '1 day'
FROM unnest(ARRAY[0, 29, 31, 400]) AS days
CROSS JOIN (VALUES (true), (false)) AS h (has_job)
"""
LEFT = """
SELECT (SELECT array_agg((e.target ->> 'days')::int ORDER BY e.at DESC)
    FROM audit_entries AS e WHERE e.action = 'keys create') AS entries,
    (SELECT array_agg(s.request_id::int ORDER BY s.submitted_at DESC) FROM submissions AS s WHERE s.job_no = 1) AS jobs,
    (SELECT array_agg(s.request_id::int ORDER BY s.submitted_at DESC) FROM submissions AS s WHERE s.job_no IS NULL)
        AS refused
"""
ALL = [0, 29, 31, 400]
CHANGES = (
    "UPDATE audit_entries SET action = 'none' WHERE at < now() - interval '300 days'",
    "UPDATE submissions SET reason = 'none' WHERE submitted_at < now() - interval '300 days'",
    "TRUNCATE audit_entries",
    "TRUNCATE submissions",
    "DELETE FROM audit_entries",
    "DELETE FROM audit_entries WHERE at > now() - interval '30 days'",
    "DELETE FROM submissions WHERE submitted_at > now() - interval '30 days'",
)


@pytest.fixture
async def filled(connection: Connection) -> Connection:
    """A superuser's session, and entries of several ages."""
    await connection.execute(FILL)
    return connection


async def left(connection: Connection) -> tuple[list[int], list[int], list[int]]:
    return tuple(await connection.fetchrow(LEFT))


async def test_without_a_retention_nothing_is_removed_however_old(filled: Connection) -> None:
    assert await remove_old_entries(filled) == 0
    old = "DELETE FROM audit_entries WHERE at < now() - interval '300 days'"
    for statement in (*CHANGES, old, "DELETE FROM audit_entries WHERE false"):
        with pytest.raises(asyncpg.CheckViolationError):
            await filled.execute(statement)
    assert await left(filled) == (ALL, ALL, ALL)


async def test_services_remove_what_is_kept_no_longer_and_can_remove_nothing_else(filled: Connection) -> None:
    assert await set_retention(filled, 30)
    await filled.execute("SET SESSION AUTHORIZATION breakwater_service")
    assert await remove_old_entries(filled) == 4
    assert await remove_old_entries(filled) == 0
    assert await left(filled) == ([0, 29], ALL, [0, 29])
    for statement in (
        *CHANGES,
        "DELETE FROM submissions",
        "DELETE FROM audit_retention",
        "UPDATE audit_retention SET days = 31",
        "INSERT INTO audit_retention (is_only, days) VALUES (true, 31)",
        "ALTER FUNCTION remove_old_audit_entries(int) SECURITY INVOKER",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
            await filled.execute(statement)
    await filled.execute("CREATE TEMP TABLE audit_retention AS SELECT true AS is_only, 0 AS days")
    assert await remove_old_entries(filled) == 0
    assert await left(filled) == ([0, 29], ALL, [0, 29])


async def test_a_retention_lets_nobody_remove_what_is_younger_or_change_anything(filled: Connection) -> None:
    await set_retention(filled, 30)
    await filled.execute("SET session_replication_role = replica")
    for statement in CHANGES:
        with pytest.raises(asyncpg.CheckViolationError):
            await filled.execute(statement)
    assert await left(filled) == (ALL, ALL, ALL)
    await filled.execute("SET session_replication_role = origin")
    assert await filled.execute("DELETE FROM audit_entries WHERE at < now() - interval '300 days'") == "DELETE 1"


async def test_a_month_is_the_least_and_forever_comes_back(filled: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await set_retention(filled, 29)
    changes = [await set_retention(filled, days) for days in (40, 40, None, None)]
    assert changes == [True, False, True, False]
    assert await remove_old_entries(filled) == 0


async def test_many_old_entries_go_by_pages_and_by_an_index(connection: Connection) -> None:
    await set_retention(connection, 30)
    await connection.execute(
        """
        INSERT INTO audit_entries (at, action, target, outcome)
        SELECT now() - interval '60 days', 'keys create', '{}', 'done' FROM generate_series(1, 2500)
        """
    )
    assert [await remove_old_entries(connection) for _ in range(4)] == [1000, 1000, 500, 0]
