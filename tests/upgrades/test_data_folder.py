"""A data folder of a run of the release before this one, killed in the midst of work, goes on under this one."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from db.schema import brought_revision
from tests.support.engines import engines_folder
from tests.support.every_route import read_every_route
from tests.support.provider_server import ProviderServer, answer, by_model, held, refuse
from tests.support.releases import THIS, Release, ReleasedProcess
from tests.support.waiting import eventually, eventually_async

QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.3, "DEDUP_SECONDS": 3600}
CUSTOMERS = 30
WAITS = {"policy": {"on_paused": "wait"}}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of the engines can reach."""
    parent = Path(tempfile.mkdtemp(prefix="breakwater-test-", dir=engines_folder()))
    parent.chmod(0o711)
    yield parent
    shutil.rmtree(parent)


def config_of(provider: ProviderServer, root: Path, *, names: tuple[str, ...]) -> str:
    regions = ("us-east", "eu-west")
    providers = "".join(provider.config(name=name, regions=regions, max_concurrent=10) for name in names)
    return f'{providers}\n[imports]\nroot = "{root}"\n'


def spec(*models: str, provider: str = "hybrid", region: str = "us-east", **members: object) -> dict[str, Any]:
    name = secrets.token_hex(4)
    return {
        "id": f"job-{name}",
        "name": name,
        "models": [{"id": model, "provider": provider} for model in models],
        "regions": [region],
        "questions": [f"One of {name}?", f"Two of {name}?"],
        **members,
    }


def importing(path: str, **members: object) -> dict[str, Any]:
    name = secrets.token_hex(4)
    source = {"type": "file", "path": path}
    customer = {"id": "customer", "key": ["id"], "source": source}
    policy = {"batch_size": 7, "max_rejects": 5}
    return {"kind": "import", "id": f"job-{name}", "name": name, "dataset": "shop", "record_types": [customer]} | {
        "policy": policy,
        **members,
    }


@asynccontextmanager
async def client_of(run: ReleasedProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a run, once that is ready."""
    eventually(lambda: is_ready(run), seconds=120, what="it is ready")
    async with httpx2.AsyncClient(base_url=run.url, timeout=30) as http:
        yield http


def is_ready(run: ReleasedProcess) -> bool:
    assert run.is_alive, run.output.read_text()[-3000:]
    try:
        return httpx2.get(f"{run.url}/readyz", verify=False).json().get("status") == "ready"
    except httpx2.TransportError:
        return False


async def post(http: httpx2.AsyncClient, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    answered = await http.post(path, json=body, headers=headers)
    assert answered.status_code in {200, 202}, (path, answered.text)
    return answered.json()


async def status_of(http: httpx2.AsyncClient, job: dict[str, Any]) -> str:
    return (await http.get(f"/jobs/{job['id']}")).json()["status"]


async def wait_for(http: httpx2.AsyncClient, job: dict[str, Any], *statuses: str) -> None:
    async def look() -> bool:
        return await status_of(http, job) in statuses

    await eventually_async(look, seconds=30, what=f"{job} is {statuses}")


class Shop:
    """What a client leaves in a service: jobs in every state, whose ids are the names of this class' members."""

    def __init__(self, folder: Path, provider: ProviderServer) -> None:
        self.provider = provider
        self.root = folder / "root"
        self.config = folder / "breakwater.toml"
        self.settings = {**QUICK, "CONFIG": self.config, "DATA_DIR": folder / "data"}
        self.root.mkdir()
        customers = "".join(f"{n},customer {n}\n" for n in range(CUSTOMERS))
        (self.root / "customer.csv").write_text(f"id,name\n{customers},without a key\n")
        self.configure("hybrid", "other")
        provider.behave = by_model({"bad": refuse(400), "down": refuse(500), "slow": held(answer())})
        self.completed, self.failed = spec("good"), spec("bad")
        self.dead = spec("down", policy={"max_attempts": 1})
        self.partial = spec("good", "bad", policy={"min_success_rate": 0.5})
        self.imported, self.unreadable = importing("customer.csv"), importing("absent.csv")
        self.running, self.cancelled = spec("slow"), spec("good", **WAITS)
        self.queued, self.held = spec("good", region="eu-west", **WAITS), spec("good", provider="other", **WAITS)

    @property
    def ended(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """The jobs that end, by the status that they end with."""
        return {
            "completed": [self.completed, self.imported],
            "failed": [self.failed, self.dead, self.unreadable],
            "partial": [self.partial],
            "cancelled": [self.cancelled],
        }

    def configure(self, *providers: str) -> None:
        """Write a file with these providers."""
        self.config.write_text(config_of(self.provider, self.root, names=providers))

    async def leave_work(self, http: httpx2.AsyncClient, release: Release) -> None:
        """Submit everything; what is to end has ended, one job runs, one is queued and one is held."""
        for paused in ("/regions/eu-west", "/providers/other", "/providers/hybrid"):
            await post(http, f"{paused}/pause", {"reason": "an upgrade"})
        for body in (self.queued, self.held, self.cancelled):
            await post(http, "/jobs", body)
        await post(http, f"/jobs/{self.cancelled['id']}/cancel")
        await post(http, "/providers/hybrid/resume")
        for status, bodies in self.ended.items():
            for body in bodies:
                await post(http, "/jobs", body, **{"Idempotency-Key": body["id"]})
                await wait_for(http, body, status)
        await post(http, "/jobs", self.running)
        await eventually_async(lambda: calls(self.provider, 2), what="calls in flight")
        self.configure("hybrid")
        applied = release.run("config", "apply", str(self.config), **self.settings)
        assert (applied.returncode, "1 open jobs are held" in applied.stdout) == (0, True), applied

    async def end_open_work(self, http: httpx2.AsyncClient) -> None:
        """Let go on what waits, and cancel what can't."""
        self.provider.release()
        await post(http, "/regions/eu-west/resume")
        for body in (self.running, self.queued):
            await wait_for(http, body, "completed")
        assert (await http.get(f"/jobs/{self.held['id']}")).json()["held"]["reason"] == "configuration_changed"
        await post(http, f"/jobs/{self.held['id']}/cancel")

    async def submit_again(self, http: httpx2.AsyncClient) -> None:
        """Send what was sent before, under its key and as the same content."""
        again = await post(http, "/jobs", self.completed, **{"Idempotency-Key": self.completed["id"]})
        assert again["job"]["id"] == self.completed["id"]
        joined = await post(http, "/jobs", {name: value for name, value in self.completed.items() if name != "id"})
        assert (joined["outcome"], joined["job"]["id"]) == ("joined", self.completed["id"])

    async def run_again(self, http: httpx2.AsyncClient) -> None:
        """Retry a failed job, replay dead letters, and import what was imported."""
        self.provider.behave = answer()
        for letter in (await http.get("/queue/dead")).json()["items"]:
            await post(http, f"/queue/dead/{letter['id']}/replay")
        await post(http, f"/jobs/{self.failed['id']}/retry")
        newer = importing("customer.csv")
        await post(http, "/jobs", newer)
        for body in (self.dead, self.failed, newer):
            await wait_for(http, body, "completed")
        progress = (await http.get(f"/jobs/{newer['id']}")).json()["import_progress"]["record_types"][0]
        assert (progress["generation"], progress["rows"]["unchanged"]) == (2, CUSTOMERS)


@pytest.mark.timeout(300)
async def test_stale_processes_of_the_release_before_are_read_and_ended(
    folder: Path, previous: Release, provider: ProviderServer, tmp_path: Path
) -> None:
    shop = Shop(folder, provider)
    with previous.running("run", tmp_path / "previous.log", **shop.settings) as run:
        async with client_of(run) as http:
            await shop.leave_work(http, previous)
            before = await read_every_route(http)
        (worker,) = run.events("process_started", name="worker-1")
        run.kill()
        os.kill(worker["pid"], signal.SIGKILL)
    with THIS.running("run", tmp_path / "this.log", **shop.settings) as run:
        async with client_of(run) as http:
            assert (await http.get("/readyz")).json()["database"]["schema_revision"] == brought_revision()
            ended = {f"/jobs/{job['id']}" for jobs in shop.ended.values() for job in jobs}
            same = {path for path in before if path.startswith((*ended, "/datasets", "/queue/dead"))}
            assert len(same) > 40
            now = await read_every_route(http)
            for letter in before["/queue/dead"]["items"]:  # whose owner that release didn't name
                letter.setdefault("tenant", "default")
            assert {path: now.get(path) for path in same} == {path: before[path] for path in same}
            await shop.end_open_work(http)
            await shop.submit_again(http)
            await shop.run_again(http)
            jobs = (await http.get("/jobs?limit=200")).json()["items"]
            assert [job for job in jobs if job["finished_at"] is None] == []
            assert len(jobs) == 11
            totals = (await http.get("/audit")).json()["totals"]
            assert totals["holds"], totals
        assert run.stop() == 0


async def calls(provider: ProviderServer, wanted: int) -> bool:
    return provider.in_flight == wanted
