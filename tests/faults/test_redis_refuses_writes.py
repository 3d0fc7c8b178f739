"""A Redis that is read and takes no writes: jobs go on through PostgreSQL, and the service says what is wrong."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2
import pytest
import redis

from broker import envelopes, notices
from db.engine import Connection
from launcher.valkey import Valkey
from tests.support.connections import database_connections
from tests.support.erp_source import SCHEMA, Erp
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, statuses
from tests.support.service import Process, StartProcess, running, unique
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

PERIOD = 1.5
SETTINGS = {"LEASE_SECONDS": 4, "HEARTBEAT_SECONDS": 0.5, "RECONCILE_SECONDS": PERIOD}
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SLOWEST = "SELECT max(extract(EPOCH FROM finished_at - created_at)) FROM jobs WHERE created_at >= $1"


@dataclass(frozen=True)
class Refusal:
    """A way in which a server refuses writes: commands that bring it about and mend it, and the code it is shown as."""

    code: str
    begin: tuple[str, ...]
    mend: tuple[str, ...]


REFUSALS = {
    "full": Refusal("full", ("CONFIG SET maxmemory 1",), ("CONFIG SET maxmemory 0",)),
    "replica": Refusal("read_only", ("REPLICAOF 127.0.0.1 1",), ("REPLICAOF NO ONE",)),
    "too few replicas": Refusal(
        "replicas", ("CONFIG SET min-replicas-to-write 1",), ("CONFIG SET min-replicas-to-write 0",)
    ),
    "may not add": Refusal("forbidden", ("ACL SETUSER default -xadd",), ("ACL SETUSER default +xadd",)),
    "may not acknowledge": Refusal("forbidden", ("ACL SETUSER default -xack",), ("ACL SETUSER default +xack",)),
    "may not delete": Refusal("forbidden", ("ACL SETUSER default -xdel",), ("ACL SETUSER default +xdel",)),
    "may not publish": Refusal(
        "forbidden", ("ACL SETUSER default resetchannels",), ("ACL SETUSER default allchannels",)
    ),
    "may not lock": Refusal("forbidden", ("ACL SETUSER default -set",), ("ACL SETUSER default +set",)),
    "key of another type": Refusal(
        "wrong_type", (f"DEL {envelopes.STREAM}", f"SET {envelopes.STREAM} x"), (f"DEL {envelopes.STREAM}",)
    ),
    "full, and its stream lost": Refusal(
        "full", (f"DEL {envelopes.STREAM}", "CONFIG SET maxmemory 1"), ("CONFIG SET maxmemory 0",)
    ),
}


@pytest.fixture(scope="module")
def admin(own_valkey: Valkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(own_valkey.url) as client:
        yield client


@pytest.fixture(scope="module")
def api(own_valkey: Valkey, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    output = tmp_path_factory.mktemp("api") / "api.log"
    with running("api", output, module_database_url, own_valkey.url, reconcile_seconds=PERIOD) as process:
        yield process


@pytest.fixture(scope="module")
def workers(own_valkey: Valkey, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(module_database_url, own_valkey.url, tmp_path_factory.mktemp("workers"), SETTINGS)
    fleet.start(1)
    yield fleet
    fleet.close()


@pytest.fixture
async def http(api: Process) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as client:
        yield client


@pytest.fixture
def refuse(admin: "redis.Redis", api: Process, workers: Fleet) -> Iterator[Callable[[Refusal], None]]:
    """Have the server refuse writes; mend it afterwards, and wait until everybody has noticed."""
    begun: list[Refusal] = []

    def begin(refusal: Refusal) -> None:
        begun.append(refusal)
        run(admin, refusal.begin)

    eventually(lambda: admin.exists(envelopes.STREAM), what="the worker reads the stream")
    yield begin
    for refusal in begun:
        run(admin, refusal.mend)
    eventually(lambda: httpx2.get(f"{api.url}/readyz", verify=False).json()["status"] == "ready")
    eventually(lambda: knows_no_fault(workers))


def knows_no_fault(workers: Fleet) -> bool:
    """Say whether the last that the worker logged of the broker isn't a fault."""
    log = workers.workers[0].output.read_text()
    return log.rfind('"broker_not_writable"') <= log.rfind('"broker_writable"')


def run(admin: "redis.Redis", commands: tuple[str, ...]) -> None:
    for command in commands:
        admin.execute_command(*command.split())


async def submit(http: httpx2.AsyncClient) -> str:
    answer = await http.post("/jobs", json=unique())
    assert answer.status_code == 202
    return answer.headers["Location"]


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_jobs_go_on_and_the_service_names_the_fault(
    refusal: Refusal, refuse: Callable[[Refusal], None], http: httpx2.AsyncClient, module_database_url: str
) -> None:
    refuse(refusal)
    await assert_jobs_go_on(http, module_database_url, refusal.code)


async def test_jobs_go_on_while_redis_can_not_save(
    own_valkey: Valkey,
    admin: "redis.Redis",
    refuse: Callable[[Refusal], None],
    http: httpx2.AsyncClient,
    module_database_url: str,
) -> None:
    in_the_way = own_valkey.data / "dump.rdb"
    in_the_way.mkdir()
    admin.config_set("save", "3600 1000000")
    refuse(Refusal("disk", ("BGSAVE",), ("BGSAVE",)))
    try:
        eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", what="the saving failed")
        await assert_jobs_go_on(http, module_database_url, "disk")
    finally:
        in_the_way.rmdir()
        admin.config_set("save", "")


async def assert_jobs_go_on(http: httpx2.AsyncClient, database_url: str, code: str) -> None:
    """Submit jobs; they end within two periods, and whatever shows the broker's state shows this code's words."""
    async with database_connections(database_url) as (connection,):
        began = await connection.fetchval("SELECT now()")
        for _ in range(3):
            await submit(http)
        readiness = (await http.get("/readyz")).json()
        queue = (await http.get("/queue")).json()
        metrics = (await http.get("/metrics")).text
        await all_ended(connection)
        assert await connection.fetchval(SLOWEST, began) < 2 * PERIOD
        await assert_audit(connection)
    found = readiness["broker"]
    assert (readiness["status"], found["status"], found["code"]) == ("degraded", "refuses_writes", code)
    assert found["detail"].endswith(".")
    assert (queue["broker"], queue["broker_detail"]) == ("refuses_writes", found["detail"])
    assert 'breakwater_broker_writable{scope="fleet"} 0.0' in metrics


async def test_a_trigger_by_hand_has_its_effect_while_redis_is_full(
    refuse: Callable[[Refusal], None], http: httpx2.AsyncClient
) -> None:
    refuse(REFUSALS["full"])
    at = await submit(http)
    started = time.monotonic()
    assert (await http.post(f"{at}/coordinate")).status_code in {200, 202}

    async def has_ended() -> bool:
        return bool((await http.get(at)).json()["finished_at"])

    await eventually_async(has_ended)
    assert time.monotonic() - started < 2 * PERIOD


async def test_unannounced_jobs_are_announced_once_redis_is_mended(
    admin: "redis.Redis", refuse: Callable[[Refusal], None], http: httpx2.AsyncClient, module_database_url: str
) -> None:
    refuse(REFUSALS["full"])
    at = await submit(http)
    async with database_connections(module_database_url) as (connection,):
        await all_ended(connection)
    run(admin, REFUSALS["full"].mend)

    def all_answered() -> bool:
        if not admin.exists(envelopes.STREAM):
            return False
        stream = admin.xinfo_stream(envelopes.STREAM)
        return stream["entries-added"] > 0 and stream["length"] == 0

    eventually(all_answered)
    triggers = (await http.get(f"{at}/coordination")).json()["items"]
    assert [(trigger["source"], trigger["outcome"]) for trigger in triggers] == [("initial", "won")]


async def test_sixty_cancels_at_once_are_all_announced(
    api: Process, admin: "redis.Redis", workers: Fleet, http: httpx2.AsyncClient
) -> None:
    workers.workers[0].pause()
    with admin.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(notices.CHANNEL)
        jobs = await asyncio.gather(*(submit(http) for _ in range(60)))
        answers = await asyncio.gather(*(http.post(f"{at}/cancel") for at in jobs))
        workers.workers[0].go_on()
        assert [answer.status_code for answer in answers] == [202] * 60
        found: set[bytes] = set()

        def all_heard() -> bool:
            message = heard.get_message(timeout=0.01)
            if message and b"cancelled" in message["data"]:
                found.add(message["data"])
            return len(found) == 60

        eventually(all_heard)
    assert api.events("notice_not_told") == []


async def test_sixty_probes_at_once_all_find_the_broker(http: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.get("/readyz") for _ in range(60)))
    assert {answer.json()["status"] for answer in answers} == {"ready"}


# Fleets of their own


@pytest.fixture
def full_valkey(own_valkey: Valkey, admin: "redis.Redis") -> Iterator[Valkey]:
    """A server that is full from the start and holds nothing."""
    admin.flushall()
    run(admin, REFUSALS["full"].begin)
    yield own_valkey
    run(admin, REFUSALS["full"].mend)


async def test_an_import_goes_on_while_redis_is_full(
    fleet: Fleet, erp: Erp, connection: Connection, full_valkey
) -> None:
    """Two workers: the batches that one has no room for are found by the other."""
    fleet.redis_url = full_valkey.url
    fleet.start(2)
    await erp.table("line", 40)
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.line"}
    policy = {"batch_size": 1}
    await store_import(connection, import_body({**table_type("line"), "source": source}, policy=policy))
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}


async def test_a_worker_without_room_leaves_the_rest_to_another(
    fleet: Fleet, connection: Connection, full_valkey
) -> None:
    fleet.redis_url = full_valkey.url
    fleet.start(2, **SETTINGS, WORKER_CONCURRENCY=1, ECHO_DELAY_SECONDS=0.5)
    await store_jobs(connection, [job_body()] * 4)
    await all_ended(connection)
    workers = await connection.fetch("SELECT DISTINCT worker_no FROM batches")
    assert len(workers) == 2


async def test_jobs_go_on_while_redis_is_silent(fleet: Fleet, connection: Connection) -> None:
    """It takes connections and says nothing: nothing fails before its time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fleet.redis_url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        (worker,) = fleet.start(1, **SETTINGS)
        worker.wait_for("broker_not_writable", code="timeout")
        for _ in range(2):
            await store_jobs(connection, [job_body()])
            await all_ended(connection)
    assert await connection.fetchval(SLOWEST, LONG_AGO) < 2 * PERIOD


# Load


async def test_ten_jobs_a_second_end_within_two_periods_while_redis_is_full(
    refuse: Callable[[Refusal], None], http: httpx2.AsyncClient, module_database_url: str
) -> None:
    refuse(REFUSALS["full"])
    async with database_connections(module_database_url) as (connection,):
        began = await connection.fetchval("SELECT now()")
        await submit_ten_a_second(http, 2)
        await all_ended(connection)
        assert await connection.fetchval(SLOWEST, began) < 2 * PERIOD


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_minute_of_ten_jobs_a_second_while_redis_is_full(
    full_valkey: Valkey, fleet: Fleet, start_api: StartProcess, connection: Connection
) -> None:
    """With the default settings."""
    api = start_api(fleet.database_url, full_valkey.url)
    fleet.redis_url = full_valkey.url
    fleet.start(2)
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
        await submit_ten_a_second(http, 60)
    await all_ended(connection)
    slowest = await connection.fetchval(SLOWEST, LONG_AGO)
    print(f"the slowest of 600 jobs took {slowest:.2f} s")  # noqa: T201 - `make test-long ARGS=-s` shows it
    assert slowest < 2 * 5
    assert await statuses(connection) == {"completed": 600}
    await assert_audit(connection)


async def submit_ten_a_second(http: httpx2.AsyncClient, seconds: int) -> None:
    began = time.monotonic()
    for number in range(10 * seconds):
        await asyncio.sleep(began + number / 10 - time.monotonic())  # the load, not a wait
        await submit(http)
