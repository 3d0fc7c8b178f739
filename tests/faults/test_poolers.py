"""PgBouncer between the service and PostgreSQL: it works, or is refused at the start with a sentence."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from db.engine import Connection, connect, create_engine, in_transaction
from db.migrate import upgrade
from db.poolers import PoolerUnsupported
from domain.scopes import Scope
from tests.support.access import bearer, make_key, make_tenant
from tests.support.connections import publish_envelopes
from tests.support.import_bodies import configured, csv_type, import_body, store_import
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, find_violations, statuses
from tests.support.pgbouncer import NEWER, pgbouncer
from tests.support.processes import run_command
from tests.support.service import StartProcess, api_client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.4}
SETTINGS = ("jit", "enable_seqscan", "synchronous_commit", "idle_in_transaction_session_timeout")
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
WORKS = [(None, "session"), *([(NEWER, "session"), (NEWER, "transaction")] if NEWER else [])]
LOSES_STATEMENTS = "use session mode, or PgBouncer 1.21 or newer with max_prepared_statements above 0"
HAS_NO_TRANSACTIONS = "The pooler is in statement mode, which has no transactions"
IS_REFUSED = [
    (None, "transaction", "worker", LOSES_STATEMENTS),
    (None, "transaction", "api", LOSES_STATEMENTS),
    (None, "statement", "migrate", HAS_NO_TRANSACTIONS),
    *([(NEWER, "statement", "worker", HAS_NO_TRANSACTIONS)] if NEWER else []),
]


@pytest.fixture(params=WORKS, ids=lambda given: f"{'newer' if given[0] else 'debian'}-{given[1]}")
async def pooled_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The test's database through a PgBouncer that the service works with."""
    program, mode = request.param
    async with pgbouncer(database_url, tmp_path, program=program, mode=mode) as url:
        yield url


async def test_the_service_runs_behind_a_pooler_as_it_comes(
    *, start_api: StartProcess, fleet: Fleet, pooled_url: str, redis_url: str, connection: Connection, tmp_path: Path
) -> None:
    """Jobs and an import, whose rows wait in a temporary table, by an API and two workers."""
    fleet.database_url = pooled_url
    fleet.settings = {**QUICK, "CONFIG": configured(tmp_path), "DATA_DIR": tmp_path / "state"}
    fleet.environment = {"ERP_URL": "postgresql://nobody@127.0.0.1:1/none"}
    (tmp_path / "data" / "customer.csv").write_text("id,name\n" + "".join(f"{n},C\n" for n in range(500)))
    await asyncio.to_thread(fleet.start, 2)
    given = import_body(csv_type("customer"), policy={"batch_size": 50})
    import_no = await store_import(connection, given)
    await publish_envelopes(redis_url, [import_no])
    async with api_client(await asyncio.to_thread(start_api, pooled_url, redis_url), pooled_url) as client:
        answers = [await client.post(unique(), key=f"key-{n}") for n in range(20)]
        assert {answer.status_code for answer in answers} == {202}
        await all_ended(connection)
        for path in ("/readyz", "/queue", "/jobs", "/audit", answers[0].json()["job"]["links"]["executions"]):
            assert (await client.http.get(path)).status_code == 200
    assert await statuses(connection) == {"completed": 21}
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 500
    assert all(worker.is_alive for worker in fleet.workers)
    assert [found for found in await find_violations(connection) if found[1] != import_no] == []


@pytest.mark.parametrize(
    ("program", "mode", "size"), [(None, "session", 60), *([(NEWER, "transaction", 6)] if NEWER else [])]
)
async def test_two_tenants_over_the_same_sessions_see_their_own_rows_alone(
    *,
    start_api: StartProcess,
    database_url: str,
    redis_url: str,
    connection: Connection,
    tmp_path: Path,
    program: str | None,
    mode: str,
    size: int,
) -> None:
    """Role and tenant are those of a transaction, also of one that fails. In transaction mode they share six."""
    keys = {}
    for name in ("acme", "other"):
        tenant_no = await make_tenant(connection, name)
        await store_jobs(connection, [job_body(name=f"of {name}")] * 3, tenant_no=tenant_no)
        keys[name] = await make_key(connection, tenant=name)
    operator = await make_key(connection, Scope.OPERATE)
    owners = dict(await connection.fetch("SELECT j.id, t.name FROM jobs AS j JOIN tenants AS t USING (tenant_no)"))
    async with pgbouncer(database_url, tmp_path, program=program, mode=mode, size=size) as url:
        api = await asyncio.to_thread(start_api, url, redis_url, auth="keys")
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
            few_at_once = asyncio.Semaphore(4)  # a request waits 4 s for a session

            async def see(name: str, job_id: str) -> None:
                async with few_at_once:
                    listed = await http.get("/jobs", headers=bearer(keys[name]))
                    assert [owners[job["id"]] for job in listed.json()["items"]] == [name] * 3, listed.text
                    seen = await http.get(f"/jobs/{job_id}/waves", headers=bearer(keys[name]))
                    assert seen.status_code == (200 if owners[job_id] == name else 404), seen.text
                    dead = await http.get("/queue/dead", headers=bearer(operator))  # as no tenant
                    assert dead.status_code == 200, dead.text

            await asyncio.gather(*(see(name, job_id) for name in keys for job_id in owners for _ in range(5)))
        left = [await role_and_tenant(url) for _ in range(size if mode == "transaction" else 1)]
    assert set(left) == {("none", "")}


async def role_and_tenant(url: str) -> tuple[str, str]:
    """What a session has that the pooler lends next."""
    session = await asyncpg.connect(url)
    try:
        found = await session.fetchrow("SELECT current_setting('role'), current_setting('breakwater.tenant_no', true)")
    finally:
        await session.close()
    return found[0], found[1] or ""


async def test_settings_hold_in_each_transaction_and_stay_on_no_session(pooled_url: str) -> None:
    engine = create_engine(pooled_url, pinned_plans=True, waits_for_disk=False, idle_seconds=7)

    async def shown(connection: Connection) -> list[str]:
        return [await connection.fetchval(f"SHOW {name}") for name in SETTINGS]

    plain = await asyncpg.connect(pooled_url)
    before = await shown(plain)
    for _ in range(3):
        assert await in_transaction(engine, shown) == ["off", "off", "off", "7s"]
        async with connect(engine) as lent:
            assert await shown(lent) == before
        assert await shown(plain) == before
    await plain.close()
    await engine.dispose()


async def test_nothing_of_a_dead_leader_or_migration_stays_behind(
    fleet: Fleet, pooled_url: str, redis_url: str, connection: Connection, database_url: str
) -> None:
    """The first worker is killed in the midst of its calls; the second connects directly."""
    await asyncio.to_thread(upgrade, pooled_url)
    pooled = {**QUICK, "DATABASE_URL": pooled_url, "ECHO_DELAY_SECONDS": 30}
    (first,) = await asyncio.to_thread(fleet.start, **pooled)
    await publish_envelopes(redis_url, await store_jobs(connection, [job_body(questions=3)]))
    await eventually_async(lambda: connection.fetchval("SELECT fence FROM leaders"), what="it leads")
    await eventually_async(lambda: connection.fetchval("SELECT count(*) FROM batches WHERE lease_until > now()"))
    first.kill()
    await asyncio.to_thread(fleet.start, **QUICK)
    async with asyncio.timeout(10):
        await asyncio.to_thread(upgrade, database_url)
    await all_ended(connection)
    assert await connection.fetchval(LOCKS) == 0
    await assert_audit(connection)


@pytest.mark.parametrize(("program", "mode", "command", "sentence"), IS_REFUSED, ids=lambda given: str(given)[:20])
async def test_a_pooler_that_cannot_be_worked_with_is_refused_at_the_start(
    database_url: str, redis_url: str, tmp_path: Path, *, program: str | None, mode: str, command: str, sentence: str
) -> None:
    async with pgbouncer(database_url, tmp_path, program=program, mode=mode) as url:
        said = await asyncio.to_thread(start, command, url, redis_url)
    assert sentence in " ".join(said.split())
    assert "BREAKWATER_DATABASE_URL" in said
    assert "Traceback" not in said


def start(command: str, database_url: str, redis_url: str) -> str:
    """Start a command that is to fail; return what it says."""
    given = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    ended = run_command(command, environment=given, seconds=30)
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


async def test_an_api_that_started_without_the_database_goes_on_refusing(database_url: str, tmp_path: Path) -> None:
    async with pgbouncer(database_url, tmp_path, mode="transaction") as url:
        engine = create_engine(url)
        for _ in range(2):
            with pytest.raises(PoolerUnsupported):
                await in_transaction(engine, lambda c: c.fetchval("SELECT 1"))
        await engine.dispose()


async def test_a_pooler_without_room_for_two_says_so(database_url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("db.poolers.EXAMINE_SECONDS", 0.3)
    async with pgbouncer(database_url, tmp_path, mode="session", size=1) as url:
        engine = create_engine(url)
        with pytest.raises(ConnectionError, match="let it open more"):
            await in_transaction(engine, lambda c: c.fetchval("SELECT 1"))
        await engine.dispose()
