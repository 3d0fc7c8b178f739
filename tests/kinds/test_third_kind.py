"""A kind that one file brings: its job goes from its POST through a killed worker, retry and cancel to the audit."""

import asyncio
import hashlib
import os
from pathlib import Path

import httpx2
import pytest

from db.engine import Connection
from tests.kinds import digest
from tests.support.import_bodies import configured
from tests.support.outcomes import assert_audit
from tests.support.service import api_client, running, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


@pytest.fixture
def root(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The import root of the fleet's workers, which serve the kind; their leases are short."""
    monkeypatch.setenv("ERP_URL", fleet.database_url)
    fleet.entry = digest.serve
    fleet.settings = {
        "LEASE_SECONDS": 1,
        "HEARTBEAT_SECONDS": 0.2,
        "RECONCILE_SECONDS": 0.3,
        "CONFIG": configured(tmp_path),
        "DATA_DIR": tmp_path / "state",
    }
    return tmp_path / "data"


@pytest.fixture
async def http(fleet: Fleet, root: Path, tmp_path: Path):
    """A client of an API that serves the kind."""
    stores = (fleet.database_url, fleet.redis_url)
    settings = {"config": fleet.settings["CONFIG"], "data_dir": tmp_path / "state"}
    with running("api", tmp_path / "api.log", *stores, entry=digest.serve, **settings) as process:
        async with api_client(process, fleet.database_url) as client:
            yield client.http


async def is_held(connection: Connection, job_id: str, *, fence: int) -> None:
    """Wait until a worker holds the job's batch under a lease of this fence, or of a later one."""
    query = (
        "SELECT fence >= $2 FROM batches JOIN jobs AS j USING (job_no) WHERE j.id = $1 AND batches.status = 'running'"
    )
    await eventually_async(lambda: connection.fetchval(query, job_id, fence), seconds=30, what=f"fence {fence}")


async def ended(http: httpx2.AsyncClient, job_id: str) -> dict:
    """The job once it has ended."""

    async def look() -> dict | None:
        job = (await http.get(f"/jobs/{job_id}")).json()
        return job if job["finished_at"] else None

    return await eventually_async(look, seconds=30, what=f"{job_id} has ended")


async def outputs(http: httpx2.AsyncClient, job_id: str) -> dict[str, str | None]:
    items = (await http.get(f"/jobs/{job_id}/executions")).json()["items"]
    return {item["question_id"]: item["output"] or item["error"]["code"] for item in items}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_its_job_survives_a_kill_is_retried_and_audited(fleet, root, http, connection) -> None:
    (root / "here").write_bytes(b"here")
    os.mkfifo(root / "slow")
    [victim] = fleet.start()
    body = {"kind": "digest", "id": "d-1", "files": ["here", "absent", "slow"]}
    answer = await http.post("/jobs", json=body)
    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "digest"), answer.text
    assert (await http.post("/jobs", json={**body, "id": "d-1"})).json()["outcome"] == "joined"

    await is_held(connection, "d-1", fence=1)
    victim.kill()
    fleet.start()
    await is_held(connection, "d-1", fence=2)
    await asyncio.to_thread((root / "slow").write_bytes, b"slow")  # waits for a reader
    job = await ended(http, "d-1")
    assert (job["status"], job["progress"]["completed"], job["progress"]["failed"]) == ("failed", 2, 1)
    assert await outputs(http, "d-1") == {"here": sha256(b"here"), "slow": sha256(b"slow"), "absent": "file_missing"}

    (root / "absent").write_bytes(b"late")
    retried = (await http.post("/jobs/d-1/retry", params={"dry_run": "true"})).json()
    assert (retried["retried"], retried["untouched"]) == (1, 2)
    retried = (await http.post("/jobs/d-1/retry")).json()
    assert (retried["retried"], retried["untouched"], retried["status"]) == (1, 2, "running")
    assert (await ended(http, "d-1"))["status"] == "completed"
    assert (await outputs(http, "d-1"))["absent"] == sha256(b"late")

    audit = (await http.get("/jobs/d-1/audit")).json()
    assert (audit["holds"], audit["violations"]) == (True, [])
    await assert_audit(connection)


async def test_its_job_is_cancelled_and_its_worker_stops(fleet, root, http, connection) -> None:
    os.mkfifo(root / "slow")
    [worker] = fleet.start()
    assert (await http.post("/jobs", json={"kind": "digest", "id": "d-2", "files": ["slow"]})).status_code == 202
    await is_held(connection, "d-2", fence=1)
    cancelled = await http.post("/jobs/d-2/cancel")
    assert (cancelled.status_code, cancelled.json()["cancelled"]) == (202, 1)
    worker.wait_for("digest_stopped")
    assert (await ended(http, "d-2"))["status"] == "cancelled"
    assert (await http.get("/jobs/d-2/audit")).json()["holds"] is True
    await assert_audit(connection)


async def test_a_worker_with_room_hears_of_batches_that_a_full_one_leaves(fleet, root, http, connection) -> None:
    """By the kind's own notice: nobody looks for the batch, and envelopes, unlike notices, stay in their database of
    Redis, which isn't that of the worker with room. So the full worker plans the jobs. Without the notice the other
    could find the first, by the look that it begins with, and no more.
    """
    fleet.settings = {**fleet.settings, "LEASE_SECONDS": 600, "HEARTBEAT_SECONDS": 1, "RECONCILE_SECONDS": 600}
    (root / "here").write_bytes(b"here")
    os.mkfifo(root / "slow")
    fleet.start()
    for number in range(digest.ROOM_BATCHES):
        body = {"kind": "digest", "id": f"slow-{number}", "files": ["slow"], "on_duplicate": "create"}
        assert (await http.post("/jobs", json=body)).status_code == 202
        await is_held(connection, f"slow-{number}", fence=1)
    fleet.start(REDIS_URL=f"{fleet.redis_url.partition('?')[0]}?db=1")
    for number in range(5):
        body = {"kind": "digest", "id": f"quick-{number}", "files": ["here"], "on_duplicate": "create"}
        assert (await http.post("/jobs", json=body)).status_code == 202
        assert (await ended(http, f"quick-{number}"))["status"] == "completed"


async def test_it_is_listed_described_and_refused_like_any_other(http) -> None:
    assert (await http.post("/jobs", json={"kind": "digest", "id": "d-3", "files": ["a"]})).status_code == 202
    listed = (await http.get("/jobs", params={"kind": "digest"})).json()["items"]
    assert [(job["id"], job["kind"], job["status"]) for job in listed] == [("d-3", "digest", "queued")]
    described = (await http.get("/openapi.json")).json()
    assert described["components"]["schemas"]["Kind"]["enum"] == ["inference", "import", "digest"]
    refused = (await http.post("/jobs", json={"kind": "else"})).json()["errors"]
    assert refused[0]["allowed"] == ["inference", "import", "digest"]
    refused = (await http.post("/jobs", json={"kind": "digest"})).json()["errors"]
    assert [error["code"] for error in refused] == ["files_missing"]


async def test_an_api_that_does_not_serve_it_refuses_it(client) -> None:
    refused = (await client.post({"kind": "digest", "files": ["a"]})).json()["errors"]
    assert [(error["pointer"], error["allowed"]) for error in refused] == [("/kind", ["inference", "import"])]


async def test_an_id_of_it_is_in_conflict_where_it_is_not_served(fleet, http, start_api) -> None:
    assert (await http.post("/jobs", json={"kind": "digest", "id": "d-4", "files": ["a"]})).status_code == 202
    async with api_client(start_api(fleet.database_url, fleet.redis_url), fleet.database_url) as other:
        refused = await other.post(unique(id="d-4"))
    assert (refused.status_code, refused.json()["code"]) == (409, "job_id_conflict")
    assert refused.json()["job"]["kind"] == "digest"
