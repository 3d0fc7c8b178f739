"""What only some processes of a fleet know, kinds of jobs and of sources: the others leave it alone, or say so."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from db.engine import Connection
from tests.kinds import digest
from tests.support.configurations import commit_file
from tests.support.connections import publish_envelopes
from tests.support.import_bodies import configured
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.releases import THIS, Release
from tests.support.service import StartProcess, running
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

PARTS = ("/events", "/audit", "/waves", "/executions", "/submissions", "/coordination")
QUICK = {"LEASE_SECONDS": 1, "HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.3}


@pytest.fixture
def knowing(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet whose workers know the kind."""
    monkeypatch.setenv("ERP_URL", fleet.database_url)
    fleet.entry = digest.serve
    fleet.settings = {**QUICK, "CONFIG": configured(tmp_path), "DATA_DIR": tmp_path / "state"}
    (tmp_path / "data" / "here").write_bytes(b"here")
    return fleet


@pytest.fixture
async def http(knowing: Fleet, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an API that knows it."""
    stores = (knowing.database_url, knowing.redis_url)
    settings = {"config": knowing.settings["CONFIG"], "data_dir": tmp_path / "state"}
    with running("api", tmp_path / "api.log", *stores, entry=digest.serve, **settings) as process:
        async with httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
            yield client


@pytest.mark.parametrize("release", ["previous", "this"])
async def test_a_worker_that_does_not_know_a_kind_leaves_its_jobs_to_one_that_does(
    *,
    knowing: Fleet,
    previous: Release,
    http: httpx2.AsyncClient,
    connection: Connection,
    tmp_path: Path,
    release: str,
) -> None:
    stores = {"DATABASE_URL": knowing.database_url, "REDIS_URL": knowing.redis_url, **QUICK}
    runs = previous if release == "previous" else THIS
    with runs.running("worker", tmp_path / "unknowing.log", **stores) as unknowing:
        unknowing.wait_for("worker_started")
        for number in range(5):  # nobody else is there to read their envelopes
            body = {"kind": "digest", "id": f"d-{number}", "files": ["here"]}
            assert (await http.post("/jobs", json=body)).status_code == 202
        known = await store_jobs(connection, [job_body()])
        await publish_envelopes(knowing.redis_url, known)
        await all_ended_of(connection, "inference")
        assert await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'queued'") == 5
        knowing.start()
        await all_ended(connection)
        assert unknowing.is_alive
    await assert_audit(connection)


async def all_ended_of(connection: Connection, kind: str) -> None:
    async def look() -> bool:
        return await connection.fetchval("SELECT count(*) = 0 FROM jobs WHERE kind = $1 AND finished_at IS NULL", kind)

    await eventually_async(look, seconds=30, what=f"all {kind} ended")


async def test_an_api_that_does_not_know_a_kind_shows_its_jobs_and_refuses_to_retry_them(
    knowing: Fleet, http: httpx2.AsyncClient, start_api: StartProcess, connection: Connection
) -> None:
    assert (await http.post("/jobs", json={"kind": "digest", "id": "d", "files": ["here"]})).status_code == 202
    api = start_api(knowing.database_url, knowing.redis_url, config=knowing.settings["CONFIG"])
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as unknowing:
        for path in ("/jobs", *(f"/jobs/d{part}" for part in ("", *PARTS)), "/audit", "/queue", "/events"):
            answer = await unknowing.get(path)
            assert answer.status_code == 200, (path, answer.text)
        answer = await unknowing.post("/jobs/d/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "kind_not_served")
        assert (await unknowing.post("/jobs/d/cancel")).status_code == 202  # nothing of it was planned


async def test_an_import_that_the_release_before_cannot_read_fails_and_is_retried_under_this_one(
    *, fleet: Fleet, previous: Release, start_api: StartProcess, connection: Connection, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.executescript("CREATE TABLE customer (id integer PRIMARY KEY); INSERT INTO customer VALUES (1), (2);")
    config = tmp_path / "breakwater.toml"
    config.write_text(f'[imports]\nroot = "{tmp_path}"\n')
    fleet.settings = {**QUICK, "CONFIG": config, "DATA_DIR": tmp_path / "state"}
    commit_file(fleet.database_url, config)
    api = start_api(fleet.database_url, fleet.redis_url)
    stores = {"DATABASE_URL": fleet.database_url, "REDIS_URL": fleet.redis_url, **QUICK}
    with previous.running("worker", tmp_path / "previous.log", **stores) as old:
        old.wait_for("worker_started")
        source = {"type": "sqlite", "path": "shop.db", "table": "customer"}
        body = {"kind": "import", "id": "shop", "name": "shop"}
        record_types = [{"id": "customer", "key": ["id"], "source": source}]
        assert httpx2.post(f"{api.url}/jobs", json={**body, "record_types": record_types}).status_code == 202
        await all_ended(connection)
        assert old.is_alive
    assert httpx2.get(f"{api.url}/jobs/shop").json()["error"]["code"] == "unplannable_spec"
    fleet.start()
    assert httpx2.post(f"{api.url}/jobs/shop/retry").status_code == 200
    await all_ended(connection)
    assert httpx2.get(f"{api.url}/jobs/shop").json()["status"] == "completed"
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 2
