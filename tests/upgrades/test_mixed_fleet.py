"""An API and a worker of the release before this one beside those of this one, on this one's schema.

No worker looks for missed work while these tests run, so what gets done was announced by envelopes and notices that
the other release understood.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import orjson
import pytest

from broker import envelopes, notices
from broker.notices import Notice
from tests.support.configurations import commit_file
from tests.support.connections import broker_client, publish_envelopes
from tests.support.every_route import read_every_route, with_added
from tests.support.jobs import store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.processes import run_command
from tests.support.provider_server import ProviderServer, after, answer, provider_server
from tests.support.releases import THIS, Release, ReleasedProcess
from tests.support.service import Process, running
from tests.support.waiting import eventually, eventually_async

LONG = {"LEASE_SECONDS": 120, "RECONCILE_SECONDS": 120, "HEARTBEAT_SECONDS": 0.3, "WORKER_CONCURRENCY": 4}
ROWS = 40
NEWEST = 10
"""Jobs that both APIs are asked about: cells and imports, of either."""
LATER_CONFIGURATION = """
INSERT INTO configurations (configuration_no, content, is_simulated, identity_nos, applied_by)
SELECT configuration_no + 1, '{"weather": {"is": "fine"}}', is_simulated, identity_nos, 'a later release'
FROM current_configuration
RETURNING configuration_no
"""
WRITTEN_EVENTS = """
SELECT j.id, e.event_no FROM events AS e JOIN jobs AS j USING (job_no) WHERE j.id = ANY ($1) ORDER BY j.id, e.event_no
"""
WHO_RAN = "SELECT w.version FROM batches AS b JOIN workers AS w USING (worker_no) WHERE b.job_no = $1"


@dataclass(frozen=True)
class MixedFleet:
    """One API and one worker of each release."""

    database_url: str
    redis_url: str
    config: Path
    provider: ProviderServer
    release: Release
    old_api: ReleasedProcess
    old_worker: ReleasedProcess
    new_api: Process
    new_worker: Process


def config_of(provider: ProviderServer, root: Path, *, max_concurrent: int) -> str:
    return f'{provider.config(max_concurrent=max_concurrent)}\n[imports]\nroot = "{root}"\n'


@pytest.fixture(scope="module")
def mixed(
    engines: Any, module_database_url: str, previous: Release, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MixedFleet]:
    """The fleet of this module; all of its processes are at work."""
    folder = tmp_path_factory.mktemp("mixed")
    root = folder / "root"
    root.mkdir()
    (root / "customer.csv").write_text("id,name\n" + "".join(f"{n},customer {n}\n" for n in range(ROWS)))
    stores = {"database_url": module_database_url, "redis_url": engines.redis_url}
    with ExitStack() as started, provider_server() as provider:
        provider.behave = after(0.02, answer())
        config = folder / "breakwater.toml"
        config.write_text(config_of(provider, root, max_concurrent=8))
        commit_file(module_database_url, config)
        old_api, old_worker = (
            started.enter_context(previous.running(role, folder / f"old-{role}.log", **stores, **LONG))
            for role in ("api", "worker")
        )
        new_api, new_worker = (
            started.enter_context(
                running(role, folder / f"new-{role}.log", module_database_url, engines.redis_url, **LONG)
            )
            for role in ("api", "worker")
        )
        old_worker.wait_for("worker_started")
        eventually(lambda: new_worker.events("worker_started"), seconds=30, what="the new worker is at work")
        eventually(lambda: answers(old_api.url), seconds=30, what="the old API answers")
        yield MixedFleet(
            module_database_url,
            engines.redis_url,
            config,
            provider,
            previous,
            old_api,
            old_worker,
            new_api,
            new_worker,
        )


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez", verify=False).status_code == 200
    except httpx2.TransportError:
        return False


@asynccontextmanager
async def clients_of(mixed: MixedFleet) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    """Clients of the old API and of the new one."""
    async with (
        httpx2.AsyncClient(base_url=mixed.old_api.url, timeout=30) as old,
        httpx2.AsyncClient(base_url=mixed.new_api.url, timeout=30) as new,
    ):
        yield old, new


@pytest.fixture
async def clients(mixed: MixedFleet) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    async with clients_of(mixed) as clients:
        yield clients


@pytest.fixture
async def rows(mixed: MixedFleet) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(mixed.database_url)
    await connection.set_type_codec("json", encoder=lambda x: x, decoder=orjson.loads, schema="pg_catalog")
    yield connection
    await connection.close()


def spec(*, questions: int = 4, **members: object) -> dict[str, object]:
    """A spec that no other test posts."""
    name = secrets.token_hex(6)
    return {
        "name": name,
        "models": [{"id": "m", "provider": "hybrid"}],
        "regions": ["us-east"],
        "questions": [f"What is {n} of {name}?" for n in range(questions)],
        **members,
    }


async def accepted(client: httpx2.AsyncClient, body: object, **headers: str) -> dict[str, Any]:
    answered = await client.post("/jobs", json=body, headers=headers)
    assert answered.status_code in {200, 202}, answered.text
    return answered.json()


async def assert_audits_hold(clients: tuple[httpx2.AsyncClient, ...]) -> None:
    """Let each release recount all that the other did."""
    totals = [(await client.get("/audit")).json()["totals"] for client in clients]
    assert totals[0]["holds"], totals
    assert totals[0] == totals[1]


async def test_jobs_of_either_api_are_done_once_and_by_workers_of_both_releases(
    mixed: MixedFleet, clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    bodies = [spec(questions=6) for _ in range(24)]
    await asyncio.gather(*(accepted(clients[n % 2], body) for n, body in enumerate(bodies)))
    await all_ended(rows)
    names = [body["name"] for body in bodies]
    assert await rows.fetchval("SELECT count(*) FROM jobs WHERE name = ANY ($1) AND status = 'completed'", names) == 24
    asked = {call.question: 0 for call in mixed.provider.calls}
    for call in mixed.provider.calls:
        asked[call.question] += 1
    assert {asked[question] for body in bodies for question in body["questions"]} == {1}
    shares = await rows.fetch(
        """
        SELECT w.version, count(*) AS batches
        FROM batches AS b JOIN jobs AS j USING (job_no) JOIN workers AS w USING (worker_no)
        WHERE j.name = ANY ($1)
        GROUP BY w.version
        """,
        names,
    )
    assert {share["version"] for share in shares} == {THIS.version, mixed.release.version}, shares
    await assert_audit(rows)


async def test_a_reader_of_all_events_gets_each_once_from_either_release(
    clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    token, _ = await read_on(clients[1], None)
    followed: list[tuple[str, int]] = []
    ids = set()
    for _ in range(8):
        answers = await asyncio.gather(*(accepted(client, spec(questions=3)) for client in clients))
        ids |= {answered["job"]["id"] for answered in answers}
        token, events = await read_on(clients[1], token)
        followed += events
    await all_ended(rows)
    wanted = await rows.fetch(
        "SELECT j.id, e.event_no FROM events AS e JOIN jobs AS j USING (job_no) WHERE j.id = ANY ($1) ORDER BY 1, 2",
        ids,
    )

    async def all_followed() -> bool:
        nonlocal token
        token, events = await read_on(clients[1], token)
        followed.extend(events)
        return len(followed) >= len(wanted)

    await eventually_async(all_followed, what="all events are read")
    assert sorted(followed) == [tuple(event) for event in wanted]
    assert sorted(followed, key=itemgetter(0)) == sorted(followed)  # of each job in the order of their numbers


async def read_on(client: httpx2.AsyncClient, token: str | None) -> tuple[str | None, list[tuple[str, int]]]:
    """Read all events after a token; return the last token, and (job, number) of each."""
    found: list[tuple[str, int]] = []
    while True:
        parameters = {"limit": "200"} if token is None else {"limit": "200", "after": token}
        items = (await client.get("/events", params=parameters)).json()["items"]
        if not items:
            return token, found
        token = items[-1]["token"]
        found += [(item["job_id"], item["event_no"]) for item in items]


async def test_each_api_replays_and_joins_jobs_of_the_other(clients: tuple[httpx2.AsyncClient, ...]) -> None:
    for order, other in (clients, clients[::-1]):
        body, key = spec(), secrets.token_hex(8)
        first = await accepted(order, body, **{"Idempotency-Key": key})
        again = await accepted(other, body, **{"Idempotency-Key": key})
        joined = await accepted(other, {**body, "metadata": {}}, **{"Idempotency-Key": f"{key}-other"})
        assert again == first
        assert joined["job"]["id"] == first["job"]["id"]
        assert joined["outcome"] == "joined", joined


async def test_an_action_at_one_api_reaches_the_worker_of_the_other_release(
    mixed: MixedFleet, clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    for order, other in (clients, clients[::-1]):
        await order.post("/providers/hybrid/pause")
        body = spec(policy={"on_paused": "wait"})
        job = (await accepted(other, body))["job"]
        cancelled = await other.post(f"/jobs/{job['id']}/cancel")
        assert cancelled.status_code == 202, cancelled.text
        await other.post("/providers/hybrid/resume")
        assert (await order.get(f"/jobs/{job['id']}")).json()["status"] == "cancelled"
        running = (await accepted(other, spec(questions=12)))["job"]
        await order.post(f"/jobs/{running['id']}/cancel")
        await all_ended(rows)
    await assert_audits_hold(clients)


async def test_imports_of_both_releases_load_one_record_set_in_the_order_of_their_plans(
    clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    generations = []
    for client in (*clients, *clients):
        body = {
            "kind": "import",
            "name": secrets.token_hex(6),
            "dataset": "mixed",
            "record_types": [{"id": "customer", "key": ["id"], "source": {"type": "file", "path": "customer.csv"}}],
            "policy": {"batch_size": 7},
        }
        job = (await accepted(client, body))["job"]
        await all_ended(rows)
        shown = (await client.get(f"/jobs/{job['id']}")).json()
        assert shown["status"] == "completed", shown
        generations.append(shown["import_progress"]["record_types"][0]["generation"])
    assert generations == [1, 2, 3, 4]
    assert await rows.fetchval("SELECT count(*) FROM imported_records") == ROWS
    await assert_audits_hold(clients)


async def test_both_apis_answer_alike_about_every_job_and_record(
    clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    old, new = clients
    for client in clients:
        await accepted(client, spec())
    await all_ended(rows)
    before = await read_every_route(old, jobs=NEWEST)
    assert len(before) > 100
    assert await read_every_route(new, jobs=NEWEST) == with_added(before)
    assert [(await client.get("/readyz")).status_code for client in clients] == [503, 200]


async def test_the_queue_says_of_which_release_each_process_is(
    mixed: MixedFleet, clients: tuple[httpx2.AsyncClient, ...]
) -> None:
    for client in clients:
        queue = (await client.get("/queue")).json()
        for role in ("workers", "apis"):
            assert {process["version"] for process in queue[role]} == {THIS.version, mixed.release.version}, queue[role]


async def test_a_configuration_that_either_release_applies_is_followed_by_both(
    mixed: MixedFleet, clients: tuple[httpx2.AsyncClient, ...]
) -> None:
    root = mixed.config.parent / "root"
    for max_concurrent, apply in ((7, mixed.release.run), (8, run_here)):
        mixed.config.write_text(config_of(mixed.provider, root, max_concurrent=max_concurrent))
        applied = apply("config", "apply", str(mixed.config), **stores_of(mixed))
        assert applied.returncode == 0, applied
        number = int(applied.stdout.split()[1])
        for client in clients:
            await eventually_async(partial(all_serve, client, number), what=f"all serve {number}")
        assert mixed.old_worker.events("configuration_followed", configuration=number)
        assert mixed.new_worker.events("configuration_followed", configuration=number)


def stores_of(mixed: MixedFleet) -> dict[str, str]:
    return {"database_url": mixed.database_url, "redis_url": mixed.redis_url}


def run_here(*arguments: str, **settings: object) -> Any:
    return run_command(
        *arguments, environment={f"BREAKWATER_{name.upper()}": str(value) for name, value in settings.items()}
    )


async def all_serve(client: httpx2.AsyncClient, number: int) -> bool:
    queue = (await client.get("/queue")).json()
    processes = [*queue["workers"], *queue["apis"]]
    return len(processes) == 4 and all(process["configuration"]["number"] == number for process in processes)


async def test_workers_take_nothing_under_a_configuration_that_a_later_release_wrote(
    mixed: MixedFleet, clients: tuple[httpx2.AsyncClient, ...], rows: Any
) -> None:
    workers = (mixed.old_worker, mixed.new_worker)
    job_nos = await store_jobs(rows, [spec(questions=1)])
    later = await rows.fetchval(LATER_CONFIGURATION)
    async with broker_client(mixed.redis_url) as client:
        await notices.publish(client, Notice(about="configuration"))
    await publish_envelopes(mixed.redis_url, job_nos)
    for worker in workers:
        eventually(partial(worker.events, "configuration_not_understood"), what=f"{worker.output} can't read it")
    assert await rows.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_nos[0]) == "queued"
    applied = run_here("config", "apply", str(mixed.config), **stores_of(mixed))
    assert f"Configuration {later + 1} is in force." in applied.stdout, applied
    await all_ended(rows)
    assert [worker.is_alive for worker in workers] == [True, True]
    await assert_audits_hold(clients)


@pytest.mark.parametrize(
    "entry",
    [b'{"v": 2, "about": "jobs"}', b'{"v": 1, "job": %d, "source": "initial", "enqueued_at": 1.0, "more": 3}'],
    ids=["another version", "a member more"],
)
async def test_an_envelope_of_a_later_release_makes_either_worker_look_at_all_that_waits(
    mixed: MixedFleet, rows: Any, entry: bytes
) -> None:
    workers = (mixed.old_worker, mixed.new_worker)
    before = [len(worker.events("envelope_not_understood")) for worker in workers]
    looked = set()
    async with broker_client(mixed.redis_url) as client:
        for _ in range(20):
            (job_no,) = await store_jobs(rows, [spec(questions=1)])
            sent = entry % job_no if b"%d" in entry else entry
            await client.xadd(envelopes.STREAM, {envelopes.FIELD: sent})
            await all_ended(rows)
            looked.add(await rows.fetchval(WHO_RAN, job_no))
            if len(looked) > 1:
                break
    assert looked == {THIS.version, mixed.release.version}
    now = [len(worker.events("envelope_not_understood")) for worker in workers]
    assert all(count > known for count, known in zip(now, before, strict=True)), (before, now)
