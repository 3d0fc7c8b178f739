"""The role of tenants' requests sees and changes one tenant's rows, whatever it asks for; without a tenant, none."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from sqlmodel import select

from db.engine import Connection, Engine, connect, for_tenant, in_transaction
from db.poolers import TENANT_ROLE, transaction
from db.reading import read_all, snapshot
from db.roles import find_faults, prepare_roles
from db.tables.jobs import Job

ROWS = (Path(__file__).parent.parent / "support" / "rows_of_two_tenants.sql").read_text()
WITH_TENANTS_ROWS = """
SELECT c.relname
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attname IN ('tenant_no', 'job_no', 'record_set_no', 'key_no')
    )
"""
PROTECTED = """
SELECT p.tablename
FROM pg_policies AS p
JOIN pg_class AS c ON c.relname = p.tablename AND c.relnamespace = 'public'::regnamespace
WHERE c.relrowsecurity AND p.cmd = 'ALL' AND p.roles = '{public}'
"""
GRANTED = """
SELECT c.relname, array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type) AS privileges
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT x.privilege_type FROM aclexplode(c.relacl) AS x WHERE x.grantee = to_regrole($1)
    UNION
    SELECT x.privilege_type || ' of columns'
    FROM pg_attribute AS t CROSS JOIN LATERAL aclexplode(t.attacl) AS x
    WHERE t.attrelid = c.oid AND x.grantee = to_regrole($1)
) AS a
WHERE c.relnamespace = 'public'::regnamespace
GROUP BY c.relname
"""
OF_INSTALLATION = {
    "kinds": ["SELECT"],
    "event_types": ["SELECT"],
    "event_writers": ["SELECT"],
    "pauses": ["SELECT"],
    "workers": ["SELECT of columns"],
    "pools": ["SELECT of columns"],
    "identities": ["SELECT of columns"],
    "configurations": ["SELECT of columns"],
    "current_configuration": ["SELECT of columns"],
    "tallies": ["INSERT", "SELECT", "UPDATE"],
    "event_positions": ["USAGE"],
    "operations_operation_no_seq": ["USAGE"],
}
"""What the role may do with that which no tenant owns."""
WITHOUT_RIGHTS = {
    "tenants",
    "api_key_secrets",
    "key_requests",
    "tenant_requests",
    "job_limits",
    "tenant_turns",
    "page_sessions",
    "late_events",
    "job_holds",
}
"""Tables of tenants' rows that no request of a tenant needs."""
INSERTS = {
    "attempts": """
        INSERT INTO attempts (
            job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
            error_detail
        )
        VALUES ($1, 0, 0, 0, 2, now(), now(), 'echo', 'busy', 'Busy.')
    """,
    "events": "INSERT INTO events (job_no, event_no, type, source, data) VALUES ($1, 2, 'progressed', 'x', '{}')",
    "ready": """
        INSERT INTO ready (job_no, batch_no, provider, region, tenant_no, cells, turn)
        VALUES ($1, 1, 'echo', 'us-east', 2, 1, 1)
    """,
    "idempotency_keys": """
        INSERT INTO idempotency_keys (tenant_no, key, body_hash, job_no, status_code, answer)
        VALUES (2, 'another', 'hash', $1, 202, '{}')
    """,
    "key_usage": "INSERT INTO key_usage (key_no, day, cells) VALUES ($1, now(), 0)",
    "tenant_usage": "INSERT INTO tenant_usage (tenant_no, day, cells) SELECT 2, now(), 0 WHERE $1::bigint > 0",
    "active_jobs": "INSERT INTO active_jobs (job_no, key_no) VALUES ($1, $1)",
    "audit_entries": """
        INSERT INTO audit_entries (at, tenant_no, action, target, outcome)
        SELECT now(), 2, 'keys create', '{}', 'done'
        WHERE $1::bigint > 0
    """,
    "bulk_actions": """
        INSERT INTO bulk_actions (tenant_no, as_of, action, filter, matched)
        SELECT 2, 'later', 'cancel_jobs', 'name=a', 1
        WHERE $1::bigint > 0
    """,
    "bulk_items": """
        INSERT INTO bulk_items (bulk_no, number, tenant_no) SELECT bulk_no, $1 + 1, 2 FROM bulk_actions
    """,
    "triggers": "INSERT INTO triggers (job_no, source) VALUES ($1, 'manual')",
}
THEIRS = 1002


@pytest.fixture
async def rows(connection: Connection) -> Connection:
    """A connection of the owner to the rows of two tenants."""
    await connection.execute(ROWS)
    return connection


async def tables_with(connection: Connection, privilege: str) -> list[str]:
    granted = await connection.fetch(GRANTED, TENANT_ROLE)
    return [
        row["relname"] for row in granted if privilege in row["privileges"] and row["relname"] not in OF_INSTALLATION
    ]


async def counts(connection: Connection, tables: list[str]) -> dict[str, int]:
    return {table: await connection.fetchval(f'SELECT count(*) FROM "{table}"') for table in tables}


async def test_every_table_of_tenants_rows_is_protected_and_has_rows_of_two_in_these_tests(rows: Connection) -> None:
    """A migration that makes such a table calls `protect_rows_of_tenants()`; its rows go into ROWS."""
    tables = [row[0] for row in await rows.fetch(WITH_TENANTS_ROWS)]
    assert sorted(tables) == sorted(row[0] for row in await rows.fetch(PROTECTED))
    assert [table for table, count in (await counts(rows, tables)).items() if count < 2] == []


async def test_the_role_has_these_rights_and_no_others(connection: Connection) -> None:
    granted = {row["relname"]: row["privileges"] for row in await connection.fetch(GRANTED, TENANT_ROLE)}
    assert {name: granted.get(name) for name in OF_INSTALLATION} == OF_INSTALLATION
    protected = {row[0] for row in await connection.fetch(PROTECTED)}
    views = {"open_generations", "waiting_imports"}
    assert granted.keys() - OF_INSTALLATION.keys() == protected - WITHOUT_RIGHTS | views
    assert [name for name in sorted(granted) if "DELETE" in granted[name]] == ["active_jobs", "ready"]
    assert not any("TRUNCATE" in privileges or "TRIGGER" in privileges for privileges in granted.values())


async def test_a_view_that_the_role_may_read_runs_with_its_rights(connection: Connection) -> None:
    views = "SELECT relname FROM pg_class WHERE relkind = 'v' AND has_any_column_privilege($1, oid, 'SELECT')"
    with_others = f"{views} AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)"
    in_public = " AND relnamespace = 'public'::regnamespace ORDER BY 1"
    found = [row[0] for row in await connection.fetch(with_others + in_public, TENANT_ROLE)]
    assert found == ["current_configuration", "event_writers"]


async def test_without_a_tenant_the_role_sees_and_changes_nothing(rows: Connection) -> None:
    tables = await tables_with(rows, "SELECT")
    assert len(tables) > 20
    async with rows.transaction():
        await rows.execute(f"SET LOCAL ROLE {TENANT_ROLE}")
        assert set((await counts(rows, tables)).values()) == {0}
        assert await rows.execute("UPDATE jobs SET name = 'mine'") == "UPDATE 0"
        assert await rows.execute("DELETE FROM ready") == "DELETE 0"


@pytest.mark.parametrize("tenant_no", [1, 2])
async def test_with_a_tenant_the_role_sees_its_rows_alone(rows: Connection, tenant_no: int) -> None:
    tables = await tables_with(rows, "SELECT")
    async with transaction(rows, tenant_no=tenant_no):
        seen = await counts(rows, tables)
        assert {table for table, count in seen.items() if count != 1} <= {"open_generations", "waiting_imports"}
        assert await rows.fetchval("SELECT id FROM jobs") == f"job-{tenant_no}"
        assert await rows.fetchval("SELECT record_key FROM imported_records") == f"row-{tenant_no}"
    await rows.execute("UPDATE record_types SET generation = 1; UPDATE jobs SET status = 'running', started_at = now()")
    async with transaction(rows, tenant_no=tenant_no):
        assert await rows.fetch("SELECT job_no FROM open_generations") == [(1000 + tenant_no,)]


async def test_a_tenants_changes_reach_its_rows_alone(rows: Connection) -> None:
    for table in await tables_with(rows, "UPDATE"):
        column = await rows.fetchval(
            """
            SELECT attname FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND attidentity = ''
            ORDER BY attnum LIMIT 1
            """,
            table,
        )
        async with transaction(rows, tenant_no=1):
            assert await rows.execute(f"UPDATE {table} SET {column} = {column}") == "UPDATE 1", table
    async with transaction(rows, tenant_no=1):
        assert await rows.execute("DELETE FROM ready") == "DELETE 1"


async def test_a_tenant_cant_insert_rows_of_another(rows: Connection) -> None:
    assert sorted(INSERTS) == sorted(await tables_with(rows, "INSERT"))
    await rows.execute("DELETE FROM ready; DELETE FROM key_usage; DELETE FROM tenant_usage; DELETE FROM active_jobs")
    for table, insert in INSERTS.items():
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f'row-level security policy for table "{table}"'):
            async with transaction(rows, tenant_no=1):
                await rows.execute(insert, THEIRS)
        async with transaction(rows, tenant_no=2):
            await rows.execute(insert, THEIRS)


async def test_a_job_cant_be_given_to_another_tenant(rows: Connection) -> None:
    with pytest.raises(asyncpg.PostgresError):
        async with transaction(rows, tenant_no=1):
            await rows.execute("UPDATE jobs SET tenant_no = 2")


@pytest.mark.parametrize("ending", ["SELECT 1", "SELECT 1 / 0"])
async def test_role_and_tenant_end_with_the_transaction(rows: Connection, ending: str) -> None:
    """So a pooler may give the session to somebody else."""
    owner = await rows.fetchval("SELECT current_user")
    with suppress(asyncpg.DivisionByZeroError):
        async with transaction(rows, tenant_no=2):
            assert await rows.fetchval("SELECT current_user") == TENANT_ROLE
            await rows.execute(ending)
    assert await rows.fetchval("SELECT current_user") == owner
    assert not await rows.fetchval("SELECT current_setting('breakwater.tenant_no', true)")
    async with rows.transaction():
        await rows.execute(f"SET LOCAL ROLE {TENANT_ROLE}")
        assert await rows.fetchval("SELECT count(*) FROM jobs") == 0  # an emptied setting is no tenant's, either


async def test_every_way_to_read_of_an_engine_for_a_tenant_is_the_tenants(rows: Connection, engine: Engine) -> None:
    async def ids(connection: Connection) -> list[str]:
        return [row["id"] for row in await connection.fetch("SELECT id FROM jobs")]

    bound = for_tenant(engine, 2)
    async with connect(bound) as connection:
        assert await ids(connection) == ["job-2"]
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("UPDATE jobs SET name = 'mine'")
    async with snapshot(bound) as connection:
        assert await ids(connection) == ["job-2"]
    assert await in_transaction(bound, ids) == ["job-2"]
    assert await in_transaction(bound, ids, isolation="repeatable_read", readonly=True) == ["job-2"]
    assert await read_all(bound, select(Job.id)) == ["job-2"]
    assert await in_transaction(engine, ids) == ["job-1", "job-2"]


@pytest.fixture
async def in_changed_roles(connection: Connection) -> AsyncIterator[Connection]:
    """A transaction of the owner that is rolled back: roles belong to all databases of the server."""
    changes = connection.transaction()
    await changes.start()
    yield connection
    await changes.rollback()


FAULTS = {
    f"ALTER ROLE {TENANT_ROLE} RENAME TO gone": "There is no role `breakwater_tenant`.",
    f"ALTER ROLE {TENANT_ROLE} BYPASSRLS": "is a superuser, or has BYPASSRLS or CREATEROLE.",
    f"ALTER ROLE {TENANT_ROLE} SUPERUSER": "is a superuser, or has BYPASSRLS or CREATEROLE.",
    f"GRANT pg_read_all_data TO {TENANT_ROLE}": "is a member of `pg_read_all_data`.",
    f"ALTER TABLE waves OWNER TO {TENANT_ROLE}": "owns the table `waves`.",
    f"REVOKE SELECT ON jobs FROM {TENANT_ROLE}": "has no rights on the tables.",
    "ALTER TABLE executions DISABLE ROW LEVEL SECURITY": "The table `executions` has no row-level security.",
    "CREATE TABLE new_things (job_no bigint)": "The table `new_things` has no row-level security.",
    "CREATE ROLE breakwater_stranger; SET LOCAL SESSION AUTHORIZATION breakwater_stranger": (
        "The user `breakwater_stranger` may not act as `breakwater_tenant`."
    ),
}


async def test_the_role_as_it_was_made_is_without_fault(connection: Connection) -> None:
    assert await find_faults(connection) == []


@pytest.mark.parametrize("change", FAULTS)
async def test_each_fault_of_the_role_is_found(in_changed_roles: Connection, change: str) -> None:
    await in_changed_roles.execute(change)
    assert any(FAULTS[change] in fault.sentence for fault in await find_faults(in_changed_roles))


async def test_a_user_that_may_not_make_roles_can_migrate_all_the_same(in_changed_roles: Connection) -> None:
    await in_changed_roles.execute(f"ALTER ROLE {TENANT_ROLE} RENAME TO gone")
    await in_changed_roles.execute("CREATE ROLE breakwater_plain; SET LOCAL SESSION AUTHORIZATION breakwater_plain")
    await prepare_roles(in_changed_roles)
    assert "There is no role `breakwater_tenant`." in [fault.sentence for fault in await find_faults(in_changed_roles)]


async def test_the_role_can_become_no_other(in_changed_roles: Connection) -> None:
    owner = await in_changed_roles.fetchval("SELECT current_user")
    await in_changed_roles.execute(
        f"""
        CREATE ROLE breakwater_intruder LOGIN;
        GRANT {TENANT_ROLE} TO breakwater_intruder;
        SET LOCAL SESSION AUTHORIZATION breakwater_intruder;
        SET LOCAL ROLE {TENANT_ROLE}
        """
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied to set role"):
        await in_changed_roles.execute(f'SET LOCAL ROLE "{owner}"')


async def test_a_guard_that_sees_no_row_does_not_permit(rows: Connection) -> None:
    """The role may delete nothing here; if it might, a guard would still see the job."""
    await rows.execute(f"GRANT DELETE ON executions TO {TENANT_ROLE}")
    await rows.execute("ALTER TABLE executions DISABLE ROW LEVEL SECURITY")
    await rows.execute(f"SET ROLE {TENANT_ROLE}")
    with pytest.raises(asyncpg.CheckViolationError, match="goes with the job"):
        await rows.execute("DELETE FROM executions")


async def test_a_second_end_is_refused_where_the_first_cant_be_seen(rows: Connection) -> None:
    await rows.execute(f"SELECT write_event({THEIRS}, 2, 'finished', 'x', '{{}}')")
    await rows.execute("ALTER POLICY rows_of_the_tenant ON events USING (false) WITH CHECK (true)")
    await rows.execute(f"SET ROLE {TENANT_ROLE}")
    with pytest.raises(asyncpg.CheckViolationError, match="a second finished event"):
        await rows.execute(f"SELECT write_event({THEIRS}, 3, 'finished', 'x', '{{}}')")


async def test_virtual_time_is_that_of_all_tenants_and_of_no_table_that_a_tenant_makes(rows: Connection) -> None:
    look = "SELECT virtual_finish_time(1, 0), queue_virtual_time('inference')"
    await rows.execute("UPDATE jobs SET identity_nos = '{}'")
    expected = await rows.fetchrow(look)
    assert expected[0] == 10
    async with transaction(rows, tenant_no=2):
        assert await rows.fetchrow(look) == expected
        await rows.execute("CREATE TEMP TABLE ready (identity_no int, turn bigint, not_before timestamptz)")
        await rows.execute("INSERT INTO pg_temp.ready VALUES (1, 999, now())")
        assert await rows.fetchrow(look) == expected
