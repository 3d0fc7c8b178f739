"""Schema before processes: which release may migrate when, and what a process does on a schema that isn't its own."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from db.engine import Connection
from db.schema import brought_revision, read_schema
from tests.support.connections import database_connections, publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended
from tests.support.processes import Ended, fork, run_command
from tests.support.provider_server import ProviderServer, answer, held
from tests.support.releases import Release
from tests.support.service import StartProcess
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 5, "HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.3}
SERVES_LATER_RELEASES_ONLY = """
UPDATE alembic_version SET version_num = '9001';
CREATE OR REPLACE FUNCTION oldest_served_schema() RETURNS text LANGUAGE sql IMMUTABLE RETURN '9000'::text;
"""
MIGRATING = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock') AS leading,
    count(*) FILTER (WHERE query ~ 'pg_try_advisory_xact_lock' OR query LIKE 'ROLLBACK;%') AS following
FROM pg_stat_activity
WHERE application_name = 'breakwater-migrate' AND datname = current_database()
"""
OTHERS = 3


def breakwater(*arguments: str, **settings: object) -> Ended:
    return run_command(*arguments, environment={f"BREAKWATER_{name}": str(value) for name, value in settings.items()})


async def test_many_migrate_the_schema_before_at_once_and_one_that_is_killed_in_the_midst_is_followed(
    previous_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {"BREAKWATER_DATABASE_URL": previous_database_url, "BREAKWATER_REDIS_URL": redis_url}
    async with database_connections(previous_database_url, 2) as (holder, looker):
        before = await read_schema(looker)
        hold = holder.transaction()
        await hold.start()
        await holder.execute("LOCK TABLE alembic_version IN SHARE MODE")  # what each migration writes last

        async def wait(others: int) -> bool:
            return tuple(await looker.fetchrow(MIGRATING)) == (1, others)

        first = fork("migrate", environment, tmp_path / "first.log")
        await eventually_async(lambda: wait(0), seconds=30, what="the first is in the midst")
        others = [fork("migrate", environment, tmp_path / f"{n}.log") for n in range(OTHERS)]
        await eventually_async(lambda: wait(OTHERS), seconds=30, what="the others wait for it")
        first.kill()
        assert await read_schema(looker) == before
        await hold.rollback()
        for process in others:
            await asyncio.to_thread(process.join, 30)
        assert [process.exitcode for process in others] == [0] * OTHERS
        assert (await read_schema(looker)).revision == brought_revision()


async def test_a_worker_on_the_former_schema_ends_with_the_remedy_and_its_api_is_not_ready(
    previous_database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    ended = breakwater("worker", DATABASE_URL=previous_database_url, REDIS_URL=redis_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended
    assert f"this release needs {brought_revision()}: run `breakwater migrate` first." in ended.stderr
    async with database_connections(previous_database_url) as (connection,):
        assert await connection.fetchval("SELECT count(*) FROM workers") == 0
    api = start_api(previous_database_url, redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as http:
        (logged,) = await asyncio.to_thread(eventually, lambda: api.events("database_unreachable"))
        assert f"this release needs {brought_revision()}: run `breakwater migrate` first." in logged["detail"]
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "schema_differs")
        assert breakwater("migrate", DATABASE_URL=previous_database_url, REDIS_URL=redis_url).returncode == 0

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually_async(is_ready, what="its heartbeat is committed")


async def test_a_release_works_on_a_later_schema_that_serves_it(
    fleet: Fleet, start_api: StartProcess, connection: Connection
) -> None:
    await connection.execute("UPDATE alembic_version SET version_num = '9001'")
    stores = {"DATABASE_URL": fleet.database_url, "REDIS_URL": fleet.redis_url}
    assert breakwater("migrate", **stores).returncode == 0
    fleet.start(**QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=3)]))
    await all_ended(connection)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as http:

        async def ready() -> Any:
            answer = await http.get("/readyz")
            return answer.json() if answer.status_code == 200 else None

        assert (await eventually_async(ready, what="it is ready"))["database"]["schema_revision"] == "9001"


async def test_a_schema_that_serves_later_releases_only_ends_workers_and_takes_apis_out(
    fleet: Fleet, start_api: StartProcess, connection: Connection, provider: ProviderServer, tmp_path: Path
) -> None:
    config = tmp_path / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=2))
    provider.behave = held(answer())
    fleet.settings = {**QUICK, "CONFIG": config, "SHUTDOWN_SECONDS": 3}
    (worker,) = fleet.start()
    api = start_api(fleet.database_url, fleet.redis_url, heartbeat_seconds=0.2)
    spec = job_body(questions=5) | {"models": [{"id": "m", "provider": "hybrid"}]}
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [spec]))
    await eventually_async(lambda: calls(provider, 2), what="calls in flight")
    await connection.execute(SERVES_LATER_RELEASES_ONLY)
    logged = worker.wait_for("schema_not_served")
    assert "start a later release" in logged["detail"]
    await asyncio.to_thread(worker.process.join, 20)
    assert worker.process.exitcode == 1
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE holder IS NOT NULL") == 0
    (logged,) = await asyncio.to_thread(eventually, lambda: api.events("database_unreachable"))
    assert "start a later release" in logged["detail"]
    answered = httpx2.get(f"{api.url}/readyz")
    assert (answered.status_code, answered.json()["code"]) == (503, "schema_differs")
    stores = {"DATABASE_URL": fleet.database_url, "REDIS_URL": fleet.redis_url}
    for command in ("worker", "migrate"):
        ended = breakwater(command, **stores)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended
        assert "start a later release" in ended.stderr


async def calls(provider: ProviderServer, wanted: int) -> bool:
    return provider.in_flight >= wanted


async def test_the_release_before_neither_migrates_nor_undoes_a_later_schema(
    fleet: Fleet, previous: Release, connection: Connection
) -> None:
    ended = previous.run("migrate", database_url=fleet.database_url, redis_url=fleet.redis_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended
    assert f"Can't locate revision identified by '{brought_revision()}'" in ended.stderr
    assert (await read_schema(connection)).revision == brought_revision()
