"""Whoever changes the roles or the access rules is found out, and told the SQL that mends it."""

import re
from collections.abc import AsyncIterator

import pytest

from db.access_rules import read_rules, record_changes
from db.engine import Connection, connect, create_engine
from db.roles import describe, find_faults, prepare_roles
from tests.support.connections import database_connections

POLICY = "rows_of_the_tenant"
LEAKS = {
    # policies and row-level security
    "CREATE POLICY open ON jobs USING (true)": "policy `open` on `jobs` was added",
    "CREATE POLICY open ON executions FOR SELECT TO breakwater_tenant USING (true)": "policy `open` on `executions`",
    f"ALTER POLICY {POLICY} ON jobs USING (true)": f"policy `{POLICY}` on `jobs` differs",
    f"ALTER POLICY {POLICY} ON jobs USING ((SELECT sees_all_tenants()) OR tenant_no >= (SELECT current_tenant_no()))": (
        f"policy `{POLICY}` on `jobs` differs"
    ),
    f"ALTER POLICY {POLICY} ON events WITH CHECK (true)": f"policy `{POLICY}` on `events` differs",
    "ALTER TABLE executions DISABLE ROW LEVEL SECURITY": "The table `executions` has no row-level security.",
    # rights
    "GRANT DELETE ON jobs TO breakwater_tenant": "right `DELETE ON TABLE public.jobs` of `breakwater_tenant` was added",
    "GRANT SELECT ON configurations TO breakwater_tenant": "right `SELECT ON TABLE public.configurations`",
    "GRANT SELECT (secret) ON number_secrets TO breakwater_tenant": (
        "right `SELECT (secret) ON TABLE public.number_secrets`"
    ),
    "GRANT SELECT ON jobs TO breakwater_tenant WITH GRANT OPTION": "right `SELECT ON TABLE public.jobs` of",
    "GRANT SELECT ON tenants TO PUBLIC": "right `SELECT ON TABLE public.tenants` of `PUBLIC` was added",
    "GRANT SELECT (name) ON tenants TO PUBLIC": "right `SELECT (name) ON TABLE public.tenants` of `PUBLIC` was added",
    "GRANT UPDATE ON SEQUENCE event_positions TO breakwater_tenant": (
        "right `UPDATE ON SEQUENCE public.event_positions`"
    ),
    "GRANT CREATE ON SCHEMA public TO breakwater_tenant": "right `CREATE ON SCHEMA public` of `breakwater_tenant`",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "right `CREATE ON SCHEMA public` of `PUBLIC` was added",
    "CREATE SCHEMA other; CREATE TABLE other.t (n int); GRANT SELECT ON other.t TO breakwater_tenant": (
        "right `SELECT ON TABLE other.t`"
    ),
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO breakwater_tenant": (
        "right `EXECUTE ON FUNCTION pg_catalog.pg_read_file"
    ),
    "GRANT SET ON PARAMETER session_replication_role TO breakwater_tenant": (
        "right `SET ON PARAMETER session_replication_role`"
    ),
    "GRANT UPDATE ON audit_entries TO breakwater_service": (
        "right `UPDATE ON TABLE public.audit_entries` of `breakwater_service`"
    ),
    "GRANT TRIGGER ON submissions TO breakwater_service": "right `TRIGGER ON TABLE public.submissions`",
    # functions, views and triggers
    "CREATE FUNCTION all_jobs() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM jobs'": (
        "function `public.all_jobs()` was added"
    ),
    "CREATE SCHEMA other; CREATE FUNCTION other.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": (
        "function `other.f()` was added"
    ),
    "ALTER FUNCTION offer_batch SECURITY DEFINER": "function `public.offer_batch(",
    "ALTER FUNCTION refuse_loss() RESET search_path": "function `public.refuse_loss()` differs",
    "CREATE OR REPLACE FUNCTION sees_all_tenants() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE RETURN true": (
        "function `public.sees_all_tenants()` differs"
    ),
    "ALTER VIEW open_generations RESET (security_invoker)": "view `open_generations` differs",
    "ALTER TABLE executions DISABLE TRIGGER USER": (
        "state of the trigger `execution_transition_is_legal` on `executions` differs"
    ),
    "ALTER TABLE jobs DISABLE TRIGGER ALL": "disabled trigger `RI_ConstraintTrigger",
    "DROP TRIGGER audit_log_never_changes ON audit_entries": (
        "trigger `audit_log_never_changes` on `audit_entries` is missing"
    ),
    "ALTER TABLE submissions ENABLE TRIGGER audit_log_never_changes": (
        "state of the trigger `audit_log_never_changes` on `submissions` differs"
    ),
    # roles
    "ALTER ROLE breakwater_tenant SUPERUSER BYPASSRLS CREATEROLE": (
        "`breakwater_tenant` is a superuser, or has BYPASSRLS"
    ),
    "ALTER ROLE breakwater_service CREATEROLE": "`breakwater_service` is a superuser, or has CREATEROLE.",
    "ALTER ROLE breakwater_tenant LOGIN": "`breakwater_tenant` has LOGIN",
    "CREATE ROLE test_strong SUPERUSER; GRANT test_strong TO breakwater_tenant": "is a member of `test_strong`.",
    "GRANT pg_read_all_data TO breakwater_tenant": "is a member of `pg_read_all_data`.",
    "GRANT pg_write_all_data TO breakwater_service": "`breakwater_service` is a member of `pg_write_all_data`.",
    "CREATE ROLE test_stranger LOGIN; GRANT breakwater_tenant TO test_stranger": (
        "`test_stranger` may act as `breakwater_tenant`."
    ),
    "CREATE ROLE test_group; GRANT breakwater_tenant TO test_group": "`test_group` may act as `breakwater_tenant`.",
    "ALTER TABLE waves OWNER TO breakwater_tenant": "`breakwater_tenant` owns the table `waves`.",
    "ALTER FUNCTION offer_batch OWNER TO breakwater_service": "`breakwater_service` owns the function",
    "CREATE ROLE test_owner; ALTER TABLE waves OWNER TO test_owner": "owner `test_owner` of `waves` was added",
    "CREATE ROLE test_owner; ALTER FUNCTION refuse_loss() OWNER TO test_owner": (
        "owner `test_owner` of `public.refuse_loss()`"
    ),
}
HINDERS = {
    "REVOKE UPDATE ON jobs FROM breakwater_tenant": (
        "right `UPDATE ON TABLE public.jobs` of `breakwater_tenant` is missing"
    ),
    "REVOKE SELECT (id) ON workers FROM breakwater_tenant": "right `SELECT (id) ON TABLE public.workers` of",
    "REVOKE INSERT ON jobs FROM breakwater_service": (
        "right `INSERT ON TABLE public.jobs` of `breakwater_service` is missing"
    ),
    f"DROP POLICY {POLICY} ON jobs": f"policy `{POLICY}` on `jobs` is missing",
    "CREATE POLICY narrow ON jobs AS RESTRICTIVE USING (false)": "policy `narrow` on `jobs` was added",
    "ALTER TABLE jobs FORCE ROW LEVEL SECURITY": "forced row-level security of `jobs` was added",
}
SQL = re.compile(r"`(.*);`")


@pytest.fixture
async def changing(module_database_url: str) -> AsyncIterator[Connection]:
    """A transaction of the owner that is rolled back: roles belong to all databases of the server."""
    async with database_connections(module_database_url) as (connection,):
        changes = connection.transaction()
        await changes.start()
        yield connection
        await changes.rollback()


async def mend(connection: Connection) -> None:
    """Do what the remedies say, until there is nothing more to say: a REVOKE takes the rights to columns, too."""
    for _ in range(2):
        for fault in await find_faults(connection):
            found = SQL.search(fault.remedy)
            if found is None:
                assert fault.remedy == "Run `breakwater migrate`."
                await prepare_roles(connection)
            elif "prints" in fault.remedy:
                await connection.execute(await connection.fetchval(found[1]))
            else:
                await connection.execute(found[1])


async def test_what_migrations_made_is_without_fault(changing: Connection) -> None:
    assert await find_faults(changing) == []


@pytest.mark.parametrize("change", LEAKS)
async def test_what_lets_somebody_see_or_change_more_is_found_and_mended(changing: Connection, change: str) -> None:
    await changing.execute(change)
    faults = list(await find_faults(changing))
    assert any(LEAKS[change] in fault.sentence and fault.leaks for fault in faults), describe(faults)
    await mend(changing)
    assert await find_faults(changing) == []


@pytest.mark.parametrize("change", HINDERS)
async def test_what_takes_a_right_away_is_a_fault_of_another_kind(changing: Connection, change: str) -> None:
    await changing.execute(change)
    faults = list(await find_faults(changing))
    assert any(HINDERS[change] in fault.sentence for fault in faults), describe(faults)
    assert not any(fault.leaks for fault in faults)
    await mend(changing)
    assert await find_faults(changing) == []


async def test_what_readers_of_the_operator_get_is_no_fault(changing: Connection) -> None:
    """People who read the tables have rights of their own, and functions, views and triggers that run with these."""
    await changing.execute(
        """
        CREATE ROLE test_reader LOGIN;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO test_reader;
        CREATE FUNCTION own_function() RETURNS int LANGUAGE sql RETURN 1;
        CREATE VIEW own_view AS SELECT id FROM jobs;
        GRANT SELECT ON own_view TO test_reader
        """
    )
    assert await find_faults(changing) == []


async def test_granting_again_takes_away_what_somebody_granted(changing: Connection) -> None:
    await changing.execute("GRANT DELETE ON jobs TO breakwater_tenant; REVOKE SELECT ON jobs FROM breakwater_service")
    await prepare_roles(changing)
    assert await find_faults(changing) == []
    assert not await changing.fetchval("SELECT has_table_privilege('breakwater_tenant', 'jobs', 'DELETE')")


async def test_many_faults_are_named_by_the_first_ones_that_leak(changing: Connection) -> None:
    await changing.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM breakwater_tenant")
    await changing.execute("ALTER ROLE breakwater_tenant LOGIN")
    shown = describe(await find_faults(changing))
    assert "has LOGIN" in shown[0]
    assert re.fullmatch(r"\d+ more such things are amiss\.", shown[-1])


async def test_without_the_role_an_administrator_is_told_what_to_run(changing: Connection) -> None:
    await changing.execute("ALTER ROLE breakwater_tenant RENAME TO gone")
    told = describe(await find_faults(changing))
    missing = (
        "There is no role `breakwater_tenant`. Run `CREATE ROLE breakwater_tenant NOLOGIN; GRANT breakwater_tenant TO "
    )
    (sentence,) = [sentence for sentence in told if sentence.startswith(missing)]
    assert sentence.endswith("as a user that may create roles, and then `breakwater migrate`.")


async def test_a_migration_records_what_it_makes_and_no_change_of_others(database_url: str) -> None:
    engine = create_engine(database_url)
    async with engine.connect() as migrating:
        await migrating.exec_driver_sql("CREATE POLICY open ON jobs USING (true)")
        await migrating.exec_driver_sql("ALTER FUNCTION refuse_loss() RESET search_path")
        before = await migrating.run_sync(read_rules)
        await migrating.exec_driver_sql("CREATE POLICY narrow ON waves AS RESTRICTIVE USING (true)")
        await migrating.exec_driver_sql("DROP TRIGGER audit_log_never_changes ON submissions")
        await migrating.run_sync(record_changes, before)
        await migrating.commit()
    async with connect(engine) as connection:
        assert sorted(fault.sentence for fault in await find_faults(connection)) == [
            "The function `public.refuse_loss()` differs.",
            "The policy `open` on `jobs` was added.",
        ]
    await engine.dispose()
