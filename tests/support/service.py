"""The service as its clients meet it: processes of ours on a free port, real HTTP, and the rows that answers leave.

`service` is one API for the whole session: its tests look only at rows of their own. `start_api` and `start_worker`
start processes on the test's own stores, to be loaded, starved or killed.
"""

import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import httpx2
import orjson
import pytest

from tests.domain.bodies import plain
from tests.support.configurations import commit_file
from tests.support.processes import Forked, Role, fork, run_breakwater
from tests.support.waiting import eventually

Json: TypeAlias = dict[str, Any]
Row: TypeAlias = "asyncpg.Record"

STOP_SECONDS = 15


@dataclass(frozen=True)
class Process(Forked):
    """A process of the service. `url` is where an API listens."""

    url: str

    def stop(self) -> None:
        """Ask it to end, and kill it if it doesn't."""
        self.process.terminate()
        self.process.join(STOP_SECONDS)
        self.kill()


@dataclass(frozen=True)
class Client:
    """Posts to one API, which is `process`, and reads what that left in its database."""

    http: httpx2.AsyncClient
    database: "asyncpg.Connection[asyncpg.Record]"
    process: Process

    async def post(self, body: object, *, key: str | None = None, dry_run: bool = False) -> httpx2.Response:
        """Submit a body under a request id of its own, by which its ledger row is found again."""
        headers = {"Content-Type": "application/json", "X-Request-ID": secrets.token_hex(8)}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.http.post(
            "/jobs", content=orjson.dumps(body), headers=headers, params={"dry_run": "true"} if dry_run else {}
        )

    async def ledger(self, answer: httpx2.Response) -> list[Json]:
        """The ledger rows of one answered request."""
        rows = await self.database.fetch(
            """
            SELECT s.outcome, s.reason, s.matched_on, s.status_code, s.idempotency_key, s.kind, j.id AS job
            FROM submissions AS s
            LEFT JOIN jobs AS j USING (job_no)
            WHERE s.request_id = $1
            """,
            answer.headers["X-Request-ID"],
        )
        return [dict(row) for row in rows]

    async def jobs(self, name: str) -> list[Row]:
        """The jobs of this name, oldest first."""
        return await self.database.fetch("SELECT * FROM jobs WHERE name = $1 ORDER BY job_no", name)

    async def end(self, job_id: str) -> None:
        """Bring a job into a terminal state."""
        await self.database.execute(
            "UPDATE jobs SET status = 'failed', error_code = 'ended_by_test', finished_at = now() WHERE id = $1", job_id
        )

    async def cancel(self, job_id: str) -> None:
        """Cancel a job as a client does."""
        assert (await self.http.post(f"/jobs/{job_id}/cancel")).status_code == 202

    async def complete(self, job_id: str, *, failed: int = 0) -> None:
        """Bring a job to its end with all of its cells; with some that failed it is `partial`."""
        status = "partial" if failed else "completed"
        await self.database.execute("UPDATE jobs SET status = 'running', started_at = now() WHERE id = $1", job_id)
        await self.database.execute(
            "UPDATE jobs SET status = $2, completed = planned - $3, failed = $3, finished_at = now() WHERE id = $1",
            job_id,
            status,
            failed,
        )

    async def age(self, job_id: str, seconds: float) -> None:
        """Let a job have been created, and have ended, so much earlier; no rule lets that be written."""
        async with self.database.transaction():
            await self.database.execute("SET LOCAL session_replication_role = replica")
            await self.database.execute(
                """
                UPDATE jobs
                SET created_at = created_at - $2::float8 * interval '1 second',
                    queued_at = queued_at - $2::float8 * interval '1 second',
                    started_at = started_at - $2::float8 * interval '1 second',
                    finished_at = finished_at - $2::float8 * interval '1 second'
                WHERE id = $1
                """,
                job_id,
                seconds,
            )


StartProcess: TypeAlias = Callable[..., Process]


@contextmanager
def running(
    role: Role,
    output: Path,
    database_url: str,
    redis_url: str,
    *,
    entry: Callable[[str], None] = run_breakwater,
    **settings: object,
) -> Iterator[Process]:
    """Run `cli api` or `cli worker` until the block ends and kills it; an API is awaited until it listens."""
    if config := {name.upper(): value for name, value in settings.items()}.get("CONFIG"):
        commit_file(database_url, str(config))
    port = int(str(settings.pop("port", None) or free_port()))  # a given one is that of an API that has ended
    given = {"PORT": port, "DATABASE_URL": database_url, "REDIS_URL": redis_url, **settings}
    environment = {f"BREAKWATER_{name.upper()}": str(value) for name, value in given.items()}
    output.touch()
    process = Process(fork(role, environment, output, entry), output, f"http://127.0.0.1:{port}")
    try:
        if role == "api":
            eventually(lambda: _listens(process, port), seconds=30, what="the API listens")
        yield process
    finally:
        process.kill()  # its orderly end takes 0.2 s, and nobody looks at it


@pytest.fixture(scope="session")
def service(engines: Any, shared_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One API for all tests that look only at rows of their own; no worker, so that jobs stay queued."""
    output = tmp_path_factory.mktemp("service") / "api.log"
    with running("api", output, shared_database_url, engines.redis_url) as process:
        yield process


@pytest.fixture(scope="module")
def module_service(
    engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """An API of a module's own, whose tests do to all of it what they like."""
    output = tmp_path_factory.mktemp("module_service") / "api.log"
    with running("api", output, module_database_url, engines.redis_url) as process:
        yield process


@pytest.fixture(scope="session")
def second_service(
    engines: Any, shared_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """Another API on the same stores as `service`."""
    output = tmp_path_factory.mktemp("second_service") / "api.log"
    with running("api", output, shared_database_url, engines.redis_url) as process:
        yield process


@pytest.fixture
async def client(service: Process, shared_database_url: str) -> AsyncIterator[Client]:
    """A client of the session's API."""
    async with api_client(service, shared_database_url) as client:
        yield client


class api_client:  # noqa: N801 (a context manager, used like a function)
    """A client of an API on this database."""

    def __init__(self, process: Process, database_url: str) -> None:
        self._process = process
        self._database_url = database_url

    async def __aenter__(self) -> Client:
        # Reading the authorities that a client trusts takes 17 ms, and nobody here speaks TLS.
        self._http = httpx2.AsyncClient(base_url=self._process.url, timeout=30, limits=httpx2.Limits(), verify=False)
        self._database = await asyncpg.connect(self._database_url)
        return Client(self._http, self._database, self._process)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._database.close()


@pytest.fixture
def start_api(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start APIs: `start_api(database_url, redis_url, backlog=5)`."""
    yield from _starter("api", tmp_path)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start workers, in the same way."""
    yield from _starter("worker", tmp_path)


@pytest.fixture
async def own_client(start_api: Callable[..., Process], database_url: str, redis_url: str) -> AsyncIterator[Client]:
    """A client of an API on the test's own stores, which its workers may share."""
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        yield client


def _starter(role: Role, folder: Path) -> Iterator[Callable[..., Process]]:
    with ExitStack() as started:

        def start(database_url: str, redis_url: str, **settings: object) -> Process:
            output = folder / f"{role}-{secrets.token_hex(4)}.log"
            return started.enter_context(running(role, output, database_url, redis_url, **settings))

        yield start


def unique(**changes: object) -> Json:
    """A small correct spec that no other test posts."""
    return plain(name=f"job-{secrets.token_hex(6)}", **changes)


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(process: Process, port: int) -> bool:
    assert process.is_alive, process.output.read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
