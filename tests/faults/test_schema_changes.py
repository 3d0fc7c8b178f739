"""A column's type is changed while a worker has calls in flight: no process ends, and every call is made once."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import asyncpg
import httpx2
import pytest

from db.engine import Connection
from tests.domain.bodies import plain
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, statuses
from tests.support.provider_server import ProviderServer, after, answer, in_turn, refuse
from tests.support.service import Client, StartProcess, api_client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet, RunningWorker

QUICK = {"LEASE_SECONDS": 5, "HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.3}
CHANGES = {
    "attempts": "ALTER error_code TYPE varchar, ALTER attempt_no TYPE int",
    "batches": "ALTER open_cells TYPE bigint, ALTER provider TYPE varchar",
    "dead_letters": "ALTER error_code TYPE varchar",
    "events": "ALTER type TYPE varchar, ALTER event_no TYPE bigint",
    "executions": "ALTER output TYPE varchar, ALTER attempts TYPE int, ALTER key_no TYPE int",
    "idempotency_keys": "ALTER key TYPE varchar, ALTER status_code TYPE int",
    "jobs": "ALTER error_code TYPE varchar, ALTER last_event_no TYPE bigint",
    "pools": "ALTER gate_times TYPE bigint, ALTER gate_code TYPE varchar",
    "ready": "ALTER cells TYPE bigint, ALTER lane TYPE int",
    "specs": "ALTER spec_hash TYPE varchar",
    "submissions": "ALTER outcome TYPE varchar, ALTER status_code TYPE int",
    "tallies": "ALTER series TYPE varchar",
    "triggers": "ALTER source TYPE varchar",
    "waves": "ALTER open_batches TYPE bigint, ALTER total_batches TYPE bigint",
    "workers": "ALTER running TYPE bigint, ALTER id TYPE varchar",
}
"""What the service reads back of each table it writes while jobs run, given another type that holds the same values."""
CELLS = 4
CSV = {"Accept": "text/csv"}


@pytest.fixture
def called(fleet: Fleet, provider: ProviderServer, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of one provider, whose every call takes a while and of whose every second model the first call fails."""
    config = tmp_path / "config.toml"
    config.write_text(provider.config(max_concurrent=100))
    provider.behave = after(0.15, in_turn(refuse(500), answer()))
    fleet.settings = {**QUICK, "CONFIG": config}
    return fleet


async def test_a_type_that_changes_under_calls_in_flight_ends_no_worker_and_loses_no_call(
    called: Fleet, provider: ProviderServer, connection: Connection
) -> None:
    (worker,) = called.start()
    sent = 0

    async def send() -> None:
        nonlocal sent
        questions = [f"Question {sent + n}?" for n in range(CELLS)]
        sent += CELLS
        spec = job_body() | {"questions": questions, "models": [{"id": "m", "provider": "hybrid"}]}
        await publish_envelopes(called.redis_url, await store_jobs(connection, [spec]))

    for table, change in CHANGES.items():
        for _ in range(2):
            await send()
        await eventually_async(lambda: in_flight(provider, worker), what="calls in flight")
        await alter(connection, table, change)
        await send()
    await all_ended(connection)
    assert worker.is_alive, worker.output.read_text()[-3000:]
    assert set(await statuses(connection)) == {"completed"}
    assert await attempts(connection) == {("completed", 2): sent}
    assert set(provider.counts().values()) == {2}
    assert len(set(provider.keys())) == 2 * sent
    assert await counter_total(connection, "breakwater_leases_lost") == 0
    await assert_audit(connection)


async def in_flight(provider: ProviderServer, worker: RunningWorker) -> bool:
    assert worker.is_alive, worker.output.read_text()[-3000:]
    return provider.in_flight > 0


async def alter(connection: Connection, table: str, change: str) -> None:
    """Change a table; what deadlocks with the load is tried again."""

    async def changed() -> bool:
        try:
            await connection.execute(f"ALTER TABLE {table} {change}")
        except asyncpg.DeadlockDetectedError:
            return False
        return True

    await eventually_async(changed, seconds=30, what=f"{table} changed")


async def test_a_type_that_changes_fails_no_request(
    start_api: StartProcess, fleet: Fleet, database_url: str, redis_url: str, connection: Connection
) -> None:
    fleet.start(**QUICK)
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        job = (await client.post(unique(), key="first")).json()["job"]
        await all_ended(connection)
        paths = await paths_of(client.http, job["links"])
        await statuses_of(client, paths)
        for table, change in CHANGES.items():
            await alter(connection, table, change)
            answered = await statuses_of(client, paths)
            assert {path: status for path, status in answered.items() if status >= 400} == {}, table


async def paths_of(http: httpx2.AsyncClient, links: Mapping[str, str]) -> list[str]:
    """Everything there is to read of a job, and of all jobs."""
    (cell,) = (await http.get(links["executions"])).json()["items"][:1]
    waves = (await http.get(links["waves"])).json()["items"]
    return [
        *(path for path in links.values() if path.startswith("/jobs/")),
        f"/executions/{cell['id']}",
        *(f"{links['waves']}/{wave['wave_number']}/batches" for wave in waves),
        *("/jobs", "/audit", "/queue", "/queue/dead", "/operations", "/providers", "/metrics", "/datasets"),
    ]


async def statuses_of(client: Client, paths: Iterable[str]) -> dict[str, int]:
    """How each is answered, as a list and as a file where there is one; and how two submissions are."""
    http = client.http
    answered = {path: (await http.get(path)).status_code for path in paths}
    answered["file"] = (await http.get(next(p for p in paths if p.endswith("/executions")), headers=CSV)).status_code
    answered["new"] = (await client.post(unique(), key=secrets.token_hex(4))).status_code
    answered["again"] = (await client.post(plain(name="again"), key="again")).status_code
    return answered
