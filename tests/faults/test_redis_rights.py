"""Redis servers as others run them: a user with few rights, TLS, a node of a cluster."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
import redis

from broker import envelopes, health
from broker.health import State
from launcher.valkey import Valkey
from tests.support.connections import broker_client
from tests.support.erp_source import SCHEMA, Erp
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.outcomes import all_ended, statuses, stream_is_empty
from tests.support.programs import require_program
from tests.support.service import StartProcess, free_port, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "stores.md"


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(own_valkey.url) as client:
        yield client


@pytest.fixture
def port(admin: "redis.Redis") -> Iterator[int]:
    """A port of loopback where the server listens too."""
    port = free_port()
    admin.config_set("port", port)
    yield port
    admin.config_set("port", 0)


@pytest.fixture
def restricted(admin: "redis.Redis", port: int) -> str:
    """The URL of a user with the rights that the documentation names, and no other."""
    (rules,) = re.findall(r"^ACL SETUSER .*$", DOCUMENTED.read_text(), re.MULTILINE)
    admin.execute_command(*rules.replace("PASSWORD", "secret").split())
    admin.execute_command("ACL", "LOG", "RESET")
    return f"valkey://breakwater:secret@127.0.0.1:{port}/0"


async def test_the_documented_rights_are_enough(
    admin: "redis.Redis", restricted: str, fleet: Fleet, erp: Erp, start_api: StartProcess
) -> None:
    """A job, an import, a cancel and a worker that stops: nothing asked for more."""
    connection = erp.connection
    api = start_api(fleet.database_url, restricted)
    fleet.redis_url = restricted
    (worker,) = fleet.start(1)
    await erp.table("line", 20)
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.line"}
    await store_import(connection, import_body({**table_type("line"), "source": source}))
    async with httpx2.AsyncClient(base_url=api.url, timeout=30) as http:
        at = (await http.post("/jobs", json=unique())).headers["Location"]
        await all_ended(connection)
        await stream_is_empty(restricted)
        assert (await http.post(f"{at}/cancel")).status_code == 200
        assert (await http.post("/regions/us-east/pause")).status_code == 200
        healthy = (await http.get("/healthz")).json()
        queue = (await http.get("/queue")).json()
    worker.stop()
    assert await statuses(connection) == {"completed": 2}
    assert (healthy["status"], healthy["broker"]["status"]) == ("ready", "ok")
    assert healthy["versions"]["broker"].split()[0] in {"redis", "valkey"}
    assert (queue["broker"], queue["broker_detail"]) == ("available", None)
    assert worker.events("broker_not_writable") == []
    assert admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize(
    ("url", "state", "code"),
    [
        ("redis://breakwater:wrong@127.0.0.1:{port}/0", State.UNAVAILABLE, "unauthenticated"),
        ("redis://breakwater:secret@127.0.0.1:{port}/3", State.REFUSES_WRITES, "forbidden"),
        ("redis://127.0.0.1:1/0", State.UNAVAILABLE, "unavailable"),
    ],
    ids=["wrong password", "a database without the right to select it", "nobody there"],
)
async def test_each_refusal_of_a_client_by_redis_has_its_own_code(
    restricted: str, port: int, url: str, state: State, code: str
) -> None:
    async with broker_client(url.format(port=port)) as client:
        with pytest.raises(envelopes.BrokerError) as error:
            await health.probe(client)
    found = health.describe(error.value)
    assert (found.state, found.code) == (state, code)


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of localhost, signed by itself; its key lies beside it."""
    certificate = tmp_path / "certificate.pem"
    command = [require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    named = ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]
    subprocess.run([*command, *named, *files], check=True, capture_output=True)
    return certificate


@asynccontextmanager
async def tls_in_front_of(valkey: Valkey, certificate: Path) -> AsyncIterator[int]:
    """Yield a port where the server is reached by TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(valkey.socket))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_a_server_is_reached_by_tls(own_valkey: Valkey, certificate: Path, scheme: str) -> None:
    async with tls_in_front_of(own_valkey, certificate) as port:
        url = f"{scheme}://:{own_valkey.password}@localhost:{port}/0"
        async with broker_client(f"{url}?ssl_ca_certs={certificate}") as client:
            await health.probe(client)
        async with broker_client(url) as client:
            with pytest.raises(envelopes.BrokerError, match="certificate verify failed"):
                await health.probe(client)


# Cluster


@pytest.fixture
def node(own_valkey: Valkey, tmp_path: Path) -> Iterator[int]:
    """The port of a node of a cluster that holds none of the keys."""
    port = free_port()
    options = {"port": port, "cluster-enabled": "yes", "cluster-port": free_port(), "save": "", "dir": tmp_path}
    command = [str(own_valkey.server), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield port
        finally:
            server.terminate()


async def test_a_node_of_a_cluster_is_named_as_one(node: int) -> None:
    async with broker_client(f"redis://127.0.0.1:{node}/0") as client:

        async def answers() -> bool:
            with suppress(envelopes.BrokerError):
                return bool(await health.version(client))
            return False

        await eventually_async(answers)
        with pytest.raises(envelopes.BrokerError) as error:
            await health.probe(client)
    found = health.describe(error.value)
    assert (found.state, found.code) == (State.REFUSES_WRITES, "cluster")
