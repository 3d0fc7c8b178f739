"""The behaviour that clients and balancers expect of HTTP/1.1: Host, OPTIONS, idle connections, clients that leave."""

import re
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import orjson
import pytest

from tests.support.raw_http import RawClient, request
from tests.support.service import Client, Process, StartProcess, running, unique
from tests.support.waiting import eventually

JSON = {"Content_Type": "application/json"}
ACTIONS = ["/jobs", "/jobs/absent/cancel", "/regions/us-east/pause", "/jobs/absent/coordinate"]


# Host


def ask_with_hosts(service: Process, *hosts: str, version: str = "1.1") -> tuple[int, str | None]:
    lines = [f"GET /livez HTTP/{version}", *(f"Host: {host}" for host in hosts), "", ""]
    with RawClient(service.url) as client:
        client.send("\r\n".join(lines).encode())
        answer = client.read_answer("GET")
    if answer.status == 200:
        return 200, None
    assert answer.headers["content-type"] == "application/problem+json"
    assert orjson.loads(answer.body)["request_id"] == answer.headers["x-request-id"]
    return answer.status, answer.code


@pytest.mark.parametrize("hosts", [["breakwater.test"], ["127.0.0.1:8000"], ["[::1]:8000"], ["[fe80::1%25eth0]"], [""]])
def test_a_request_with_one_host_is_served(service: Process, hosts: list[str]) -> None:
    assert ask_with_hosts(service, *hosts) == (200, None)


def test_a_request_without_a_host_is_refused(service: Process) -> None:
    assert ask_with_hosts(service) == (400, "host_missing")


@pytest.mark.parametrize("hosts", [["a", "b"], ["a", "a"], ["a", ""]])
def test_a_request_with_two_hosts_is_refused(service: Process, hosts: list[str]) -> None:
    assert ask_with_hosts(service, *hosts) == (400, "host_repeated")


@pytest.mark.parametrize("host", ["a b", "a/b", "user@host", "a:port", "[::1", "a?b", "a\\b", "h\xe4st"])
def test_a_host_that_is_no_name_is_refused(service: Process, host: str) -> None:
    assert ask_with_hosts(service, host) == (400, "host_malformed")


def test_http_1_0_needs_no_host(service: Process) -> None:
    assert ask_with_hosts(service, version="1.0") == (200, None)
    assert ask_with_hosts(service, "a", "b", version="1.0") == (400, "host_repeated")


# OPTIONS


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET, HEAD, POST, OPTIONS"),
        ("/jobs/a", "GET, HEAD, OPTIONS"),
        ("/jobs/a/cancel", "POST, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/static/site.css", "GET, HEAD, OPTIONS"),
        ("/jobs?colour=red", "GET, HEAD, POST, OPTIONS"),
    ],
)
async def test_options_names_the_methods_of_a_path(client: Client, path: str, allowed: str) -> None:
    answer = await client.http.options(path)
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, allowed, b"")
    assert answer.headers["X-Request-ID"]
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_options_of_an_unknown_path_is_not_found(client: Client) -> None:
    answer = await client.http.options("/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")


def test_options_of_the_whole_server_is_answered(service: Process) -> None:
    with RawClient(service.url) as client:
        client.send(request("OPTIONS", "*"))
        assert client.read_answer("OPTIONS").status == 204


# Clients that leave


@pytest.fixture(scope="module")
def counting(engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """An API of its own, so that no other test moves its counters."""
    output = tmp_path_factory.mktemp("counting") / "api.log"
    with running("api", output, module_database_url, engines.redis_url) as process:
        yield process


def counted(api: Process) -> Counter[str]:
    """Return how many POSTs were counted under each status."""
    found: Counter[str] = Counter()
    for line in httpx2.get(f"{api.url}/metrics").text.splitlines():
        if line.startswith("http_requests_total{") and 'method="POST"' in line:
            found[re.findall('status="([^"]+)"', line)[0]] += round(float(line.split()[-1]))
    return found


def reset(client: RawClient) -> None:
    """Have the connection end with a reset."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("end", [lambda _: None, reset], ids=["closes", "resets"])
def test_a_client_that_leaves_within_its_body_is_no_failure_of_the_server(
    counting: Process, end: Callable[[RawClient], None]
) -> None:
    before, logged = counted(counting), len(counting.events("request_abandoned"))
    for path in ACTIONS:
        with RawClient(counting.url) as client:
            sent = request("POST", path, orjson.dumps(unique()), Expect="100-continue", **JSON)
            client.send(sent[: sent.index(b"\r\n\r\n") + 4])
            client.read_line()  # the service has begun to read the body
            client.send(b'{"name')
            end(client)
    eventually(lambda: (counted(counting) - before).total() == len(ACTIONS), what="all are counted")
    assert counted(counting) - before == {"499": len(ACTIONS)}
    assert len(counting.events("request_abandoned")) - logged == len(ACTIONS)
    assert "Traceback" not in counting.output.read_text()
    assert counting.events("request_failed") == []


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunks"])
def test_a_client_that_leaves_before_the_last_byte_leaves_no_traceback(counting: Process, *, chunks: bool) -> None:
    body, before = orjson.dumps(unique()), counted(counting)
    sent = (
        request("POST", "/jobs", b"%x\r\n%s\r\n" % (len(body), body), Transfer_Encoding="chunked", **JSON)
        if chunks
        else request("POST", "/jobs", body, **JSON)[:-1]
    )
    with RawClient(counting.url) as client:
        client.send(sent)
    eventually(lambda: counted(counting) != before, what="it is counted")
    assert counted(counting) - before == {"499": 1}
    assert "Traceback" not in counting.output.read_text()


def test_a_client_that_leaves_before_the_answer_has_submitted_its_job(counting: Process) -> None:
    body, before = unique(), counted(counting)
    with RawClient(counting.url) as client:
        client.send(request("POST", "/jobs", orjson.dumps(body), **JSON))
    eventually(lambda: counted(counting) != before, what="it is counted")
    assert counted(counting) - before == {"202": 1}
    assert httpx2.get(f"{counting.url}/jobs").json()["items"][0]["name"] == body["name"]
    assert "Traceback" not in counting.output.read_text()


# Idle connections


def test_an_idle_connection_is_kept_as_long_as_is_set(
    start_api: StartProcess, database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url, keep_alive_seconds=1)
    with RawClient(api.url) as client:
        client.send(request("GET", "/livez"))
        client.read_answer("GET")
        started = time.monotonic()
        client.wait_for_close()
        assert 0.9 < time.monotonic() - started < 4


def test_an_idle_connection_does_not_hold_up_the_end_of_the_api(
    start_api: StartProcess, database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url)
    with RawClient(api.url) as client, RawClient(api.url) as silent:
        client.send(request("GET", "/livez"))
        client.read_answer("GET")
        started = time.monotonic()
        api.stop()
        assert client.wait_for_close() == silent.wait_for_close() == b""
    assert time.monotonic() - started < 5
    assert api.process.exitcode != -signal.SIGKILL
