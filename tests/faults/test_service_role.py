"""API and workers as a role that owns nothing and is asked by every policy: all works, and no rule can be changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import httpx2
import pytest

from db.engine import Connection
from domain.scopes import Scope
from tests.support.access import bearer
from tests.support.connections import database_connections
from tests.support.engines import OwnEngines
from tests.support.import_bodies import configured, csv_type, import_body
from tests.support.jobs import job_body
from tests.support.outcomes import find_violations
from tests.support.processes import run_command
from tests.support.provider_server import ProviderServer, answer, refuse
from tests.support.service import Json, StartProcess, free_port
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 5, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.4}
REFUSED = (
    "UPDATE audit_entries SET action = 'none'",
    "DELETE FROM audit_entries",
    "TRUNCATE audit_entries",
    "UPDATE submissions SET reason = 'none'",
    "DELETE FROM submissions",
    "TRUNCATE jobs CASCADE",
    "DROP TRIGGER audit_log_never_changes ON audit_entries",
    "ALTER TABLE audit_entries DISABLE TRIGGER audit_log_never_changes",
    "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_entries EXECUTE FUNCTION refuse_change_of_audit_log()",
    "CREATE RULE mine AS ON INSERT TO audit_entries DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP TABLE audit_entries",
    "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
    "DROP POLICY rows_of_the_tenant ON jobs",
    "ALTER POLICY rows_of_the_tenant ON jobs USING (true)",
    "CREATE POLICY open ON jobs USING (true)",
    "ALTER ROLE breakwater_tenant BYPASSRLS",
    "ALTER ROLE breakwater_service SUPERUSER",
    "CREATE ROLE test_other",
    "SET ROLE breakwater",
    "CREATE TABLE mine (n int)",
    "UPDATE alembic_version SET version_num = '0001'",
    "DELETE FROM expected_access_rules",
    "COPY jobs TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
)


@pytest.fixture
async def service_url(own_engines: OwnEngines) -> str:
    """The URL of the role of services, which isn't spared the policies here."""
    async with database_connections(own_engines.database_url) as (owner,):
        await owner.execute("ALTER ROLE breakwater_service NOBYPASSRLS")
    return own_engines.postgres.service_url


@pytest.fixture
async def service(service_url: str) -> AsyncIterator[Connection]:
    """A session of the role of services."""
    async with database_connections(service_url) as (connection,):
        yield connection


@asynccontextmanager
async def fleet_of(database_url: str, redis_url: str, folder: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(database_url, redis_url, folder, applies_config=False)
    try:
        yield fleet
    finally:
        await asyncio.to_thread(fleet.close)


async def ended(http: httpx2.AsyncClient, job_id: str) -> Json:
    """The job, once it has ended."""

    async def look() -> Json | None:
        job: Json = (await http.get(f"/jobs/{job_id}")).json()
        return job if job["finished_at"] else None

    return await eventually_async(look, seconds=30, what=f"{job_id} ends")


async def test_an_api_with_keys_and_a_worker_do_all_their_work_as_the_role(
    own_engines: OwnEngines, service_url: str, start_api: StartProcess, provider: ProviderServer, tmp_path: Path
) -> None:
    """Jobs, an import, a retry, a cancel, pauses and the audit log; every command but `migrate`."""
    config = configured(tmp_path)
    config.write_text(config.read_text() + provider.config())
    (tmp_path / "data" / "customer.csv").write_text("id,name\n" + "".join(f"{n},C\n" for n in range(300)))
    stores = {"BREAKWATER_DATABASE_URL": service_url, "BREAKWATER_REDIS_URL": own_engines.redis_url}
    environment = {**stores, "BREAKWATER_CONFIG": str(config), "ERP_URL": service_url}
    for command in (("config", "apply", str(config)), ("tenants", "create", "acme"), ("migrate",)):
        done = await asyncio.to_thread(run_command, *command, environment=environment)
        assert done.returncode == 0, done.stderr
    created = ("keys", "create", "all", "--tenant", "acme", *(part for scope in Scope for part in ("--scope", scope)))
    key = (await asyncio.to_thread(run_command, *created, environment=environment)).stdout.strip()
    api = await asyncio.to_thread(
        start_api, service_url, own_engines.redis_url, auth="keys", data_dir=tmp_path / "state"
    )
    async with (
        fleet_of(service_url, own_engines.redis_url, tmp_path) as fleet,
        httpx2.AsyncClient(base_url=api.url, headers=bearer(key), timeout=30) as http,
    ):
        fleet.settings = {**QUICK, "CONFIG": config, "DATA_DIR": tmp_path / "state"}
        fleet.environment = {"ERP_URL": service_url}
        provider.behave = refuse(400)
        spec = job_body(questions=5) | {"models": [{"id": "m", "provider": "hybrid"}]}
        first = (await http.post("/jobs", json=spec)).json()["job"]["id"]
        imported = (await http.post("/jobs", json=import_body(csv_type("customer")))).json()["job"]["id"]
        await asyncio.to_thread(fleet.start)
        assert (await ended(http, first))["status"] == "failed"
        assert (await ended(http, imported))["status"] == "completed"
        provider.behave = answer()
        assert (await http.post(f"/jobs/{first}/retry")).status_code == 200
        assert (await ended(http, first))["status"] == "completed"
        assert (await http.post("/regions/us-east/pause", json={"reason": "a test"})).status_code == 200
        waits = spec | {"policy": {"on_paused": "wait"}}
        waiting = (await http.post("/jobs", json=waits)).json()["job"]["id"]
        assert (await http.post(f"/jobs/{waiting}/cancel")).status_code == 202
        assert (await ended(http, waiting))["status"] == "cancelled"
        log = (await http.get("/audit-log", params={"limit": 100})).json()["items"]
        assert {"POST /jobs/{job_id}/retry", "POST /jobs/{job_id}/cancel", "keys create", "config apply"} <= {
            entry["action"] for entry in log
        }
        for path in ("/readyz", "/queue", "/jobs", "/audit", "/metrics", "/events", f"/jobs/{first}/executions"):
            assert (await http.get(path)).status_code == 200, path
        assert fleet.workers[0].is_alive
        assert api.events("rights_missing") + api.events("roles_changed") == []
    async with database_connections(own_engines.database_url) as (owner,):
        assert await owner.fetchval("SELECT count(*) FROM imported_records") == 300
        import_no = await owner.fetchval("SELECT job_no FROM jobs WHERE id = $1", imported)
        assert [found for found in await find_violations(owner) if found[1] != import_no] == []


async def test_the_role_changes_no_rule_and_nothing_of_the_audit_log(service: Connection) -> None:
    done = []
    for statement in REFUSED:
        with suppress(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
            done.append(statement)
    assert done == []
    await service.execute("GRANT UPDATE, DELETE ON audit_entries TO breakwater_service")  # a warning, and nothing done
    assert not await service.fetchval("SELECT has_table_privilege('audit_entries', 'UPDATE, DELETE')")


async def test_an_api_refuses_to_start_where_the_role_may_change_the_audit_log(
    own_engines: OwnEngines, service_url: str
) -> None:
    async with database_connections(own_engines.database_url) as (owner,):
        await owner.execute("GRANT UPDATE ON audit_entries TO breakwater_service")
    settings = {"DATABASE_URL": service_url, "REDIS_URL": own_engines.redis_url, "AUTH": "keys", "PORT": free_port()}
    environment = {f"BREAKWATER_{name}": str(value) for name, value in settings.items()}
    ended = await asyncio.to_thread(run_command, "api", environment=environment)
    assert ended.returncode == 1
    assert "The right `UPDATE ON TABLE public.audit_entries` of `breakwater_service` was added." in ended.stderr
    assert "may change or empty `audit_entries`, which is only added to." in ended.stderr


async def test_a_login_without_the_role_is_told_what_it_needs(own_engines: OwnEngines, service_url: str) -> None:
    async with database_connections(own_engines.database_url) as (owner,):
        await owner.execute("DROP OWNED BY breakwater_service")
    environment = {"BREAKWATER_DATABASE_URL": service_url, "BREAKWATER_REDIS_URL": own_engines.redis_url}
    ended = await asyncio.to_thread(run_command, "worker", environment=environment)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "its user may not read the tables: grant it the role breakwater_service" in ended.stderr
