"""Every operation refuses what a browser sends for a page of another origin, and changes nothing by it.

Generated from the description: a new route is tried without being named here.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from runtime.metrics import AUDIT_ENTRIES_DROPPED
from tests.support.description import api_description
from tests.support.raw_http import RawClient, request
from tests.support.service import Client, Process, api_client, running, unique
from tests.support.waiting import eventually

DESCRIPTION = api_description()
READING = {"get", "head", "options"}
UNDESCRIBED = ("/", "/docs", "/metrics", "/openapi.json", "/static/site.css")
PROBES = {"/livez", "/readyz", "/healthz"}
OF_PROCESSES = {"workers", "audit_entries"}
"""Tables that processes write without being asked, or where they note what they refused."""
DROPPED = AUDIT_ENTRIES_DROPPED.name
"""The counter of refusals that the audit log lacks."""
BODIES: Mapping[str, object] = {
    "/tenants": {"name": "other"},
    "/tenants/{tenant}/limits": {"cells_per_day": 7},
    "/keys": {"name": "other", "tenant": "default", "scopes": ["jobs:read"]},
    "/executions/{execution_id}/resolve": {"status": "failed"},
}
LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ELSEWHERE = "http://attacker.example"
CROSS_SITE: Mapping[str, Mapping[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another port": {"Sec-Fetch-Site": "same-site"},
    "what a later browser may say": {"Sec-Fetch-Site": "near-site"},
    "nothing in the header": {"Sec-Fetch-Site": ""},
    "a script": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "a form": {"Sec-Fetch-Site": "cross-site", **LINK, "Origin": ELSEWHERE},
    "a form of another port": {"Sec-Fetch-Site": "same-site", **LINK, "Origin": "http://127.0.0.1:1"},
    "an older browser": {"Origin": ELSEWHERE},
    "an older browser at another port": {"Origin": "http://127.0.0.1:1"},
    "an older browser without a port": {"Origin": "http://127.0.0.1"},
    "a sandboxed frame": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "a person, for a page": {"Sec-Fetch-Site": "none", "Origin": ELSEWHERE},
}
UNKNOWN_HOSTS: Mapping[str, Mapping[str, str]] = {
    "a name that leads here": {"Host": "attacker.example"},
    "its page": {
        "Host": "attacker.example:8000",
        "Origin": "http://attacker.example:8000",
        "Sec-Fetch-Site": "same-origin",
    },
    "an address": {"Host": "0.0.0.0"},  # noqa: S104 (not bound)
    "nobody": {"Host": ""},
}
NO_LINKS: Mapping[str, Mapping[str, str]] = {
    "fetch": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "fetch at another port": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "script": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "frame": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "plugin": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    "older browser": {"Origin": ELSEWHERE},
}
OTHER_TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", None]


@dataclass(frozen=True)
class Operation:
    """An operation of the description."""

    method: str
    path: str


CHANGING = [
    Operation(method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods.keys() - READING
]
READS = [*(path for path, methods in DESCRIPTION["paths"].items() if "get" in methods), *UNDESCRIBED]


@pytest.fixture(scope="module")
def service(module_service: Process) -> Process:
    """An API of this module's own, which no other test uses while a test compares its tables."""
    return module_service


@pytest.fixture(scope="module")
def parameters(
    service: Process, engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, object]:
    """The path parameters of a job that a worker has run, with dead letters, and of a key."""
    output = tmp_path_factory.mktemp("cross_site") / "worker.log"
    worker = running("worker", output, module_database_url, engines.redis_url, echo_failure_rate=1)
    with httpx2.Client(base_url=service.url) as http, worker:
        at = http.post("/jobs", json=unique(policy={"max_attempts": 1})).headers["Location"]
        eventually(lambda: http.get(at).json()["finished_at"], seconds=30)
        (execution, *_) = http.get(f"{at}/executions").json()["items"]
        (dead_letter, *_) = http.get("/queue/dead").json()["items"]
        (running_worker, *_) = http.get("/queue").json()["workers"]
        key = http.post("/keys", json={"name": "a test's", "tenant": "default", "scopes": ["jobs:read"]}).json()
    return {
        "job_id": at.removeprefix("/jobs/"),
        "execution_id": execution["id"],
        "dead_letter_id": dead_letter["id"],
        "worker_id": running_worker["id"],
        "key_id": key["id"],
        "tenant": "default",
        "session_id": "none",
        "wave_number": 1,
        "batch_id": 1,
        "dataset": "none",
    }


@dataclass(frozen=True)
class Stage:
    """A client, and names for what the description's paths leave open."""

    client: Client
    parameters: Mapping[str, object]

    def path(self, template: str) -> str:
        name = "echo" if template.startswith("/providers") else "us-east"
        path = template.format(**self.parameters, name=name)
        assert "{" not in path, template
        return path

    async def send(self, operation: Operation, headers: Mapping[str, str], **body: Any) -> httpx2.Response:
        """Send a request, with a fitting body unless another is given."""
        if not body:
            json = BODIES.get(operation.path, unique() if operation.path == "/jobs" else None)
            body = {} if json is None else {"json": json}
        path = self.path(operation.path)
        return await self.client.http.request(operation.method.upper(), path, headers=headers, **body)

    async def contents(self) -> Mapping[str, str]:
        """A digest of each table."""
        rows = await self.client.database.fetch("SELECT relname AS name FROM pg_stat_user_tables")
        digest = (
            "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{}\" AS t WHERE t::text !~ $1"
        )
        tables = {row["name"] for row in rows} - OF_PROCESSES
        assert len(tables) > 20
        return {table: await self.client.database.fetchval(digest.format(table), DROPPED) for table in tables}


@pytest.fixture
async def stage(service: Process, module_database_url: str, parameters: Mapping[str, object]) -> AsyncIterator[Stage]:
    """The stage of a test."""
    async with api_client(service, module_database_url) as client:
        yield Stage(client, parameters)


def test_the_description_has_operations_that_change_something() -> None:
    assert len(CHANGING) >= 15


@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE)
async def test_no_operation_is_done_for_a_page_of_another_site(stage: Stage, headers: Mapping[str, str]) -> None:
    before = await stage.contents()
    for operation in CHANGING:
        answer = await stage.send(operation, headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), operation
        assert "403" in DESCRIPTION["paths"][operation.path][operation.method]["responses"]
    assert await stage.contents() == before


@pytest.mark.parametrize("headers", UNKNOWN_HOSTS.values(), ids=UNKNOWN_HOSTS)
async def test_no_operation_is_done_under_an_unknown_host(stage: Stage, headers: Mapping[str, str]) -> None:
    before = await stage.contents()
    for operation in CHANGING:
        answer = await stage.send(operation, headers)
        assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host"), operation
        assert "421" in DESCRIPTION["paths"][operation.path][operation.method]["responses"]
    assert await stage.contents() == before


@pytest.mark.parametrize("media_type", OTHER_TYPES)
async def test_no_operation_takes_a_body_of_another_type(stage: Stage, media_type: str | None) -> None:
    before = await stage.contents()
    for operation in CHANGING:
        headers = {} if media_type is None else {"Content-Type": media_type}
        for content in (b"{}", b'{"reason": "a form"}', b"a=b"):
            answer = await stage.send(operation, headers, content=content)
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), operation
    assert await stage.contents() == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
    ids=["a program", "a page of the service", "a person"],
)
async def test_every_operation_is_done_for_others(stage: Stage, headers: Mapping[str, str]) -> None:
    for operation in CHANGING:
        answer = await stage.send(operation, headers)
        assert answer.status_code not in {403, 415, 421, 500}, (operation, answer.text)


@pytest.mark.parametrize("headers", NO_LINKS.values(), ids=NO_LINKS)
async def test_nothing_is_read_by_a_page_of_another_site(stage: Stage, headers: Mapping[str, str]) -> None:
    for path in READS:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await stage.client.http.request(method, stage.path(path), headers=headers)
            assert answer.status_code == 403, (method, path)
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
async def test_links_of_other_sites_lead_here(stage: Stage, site: str) -> None:
    for path in READS:
        answer = await stage.client.http.get(stage.path(path), headers={"Sec-Fetch-Site": site, **LINK})
        assert answer.status_code in {200, 404, 422}, (path, answer.text)
        assert answer.status_code == 200 or path not in UNDESCRIBED


async def test_nothing_but_probes_is_read_under_an_unknown_host(stage: Stage) -> None:
    for path in READS:
        answer = await stage.client.http.get(stage.path(path), headers={"Host": "10.0.0.5"})
        assert (answer.status_code == 421) == (path not in PROBES), path


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("LocalHost:8000", "http://localhost:8000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost", "https://localhost"),  # a proxy ends TLS
        ("localhost", "https://localhost:443"),
    ],
)
def test_an_older_browser_is_served_for_a_page_of_the_service(service: Process, host: str, origin: str) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs/absent/cancel", Host=host, Origin=origin))
        assert client.read_answer().status == 404


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:80"),
        ("localhost", "ftp://localhost"),
        ("localhost", "localhost"),
        ("localhost", "http://localhost.attacker.example"),
        ("localhost", "http://attacker.example/localhost"),
        ("localhost", "http://user@localhost"),
        ("localhost", "http://localhost, http://localhost"),
    ],
)
def test_other_origins_are_foreign_however_alike(service: Process, host: str, origin: str) -> None:
    with RawClient(service.url) as client:
        client.send(request("POST", "/jobs/absent/cancel", Host=host, Origin=origin))
        answer = client.read_answer()
    assert (answer.status, answer.code) == (403, "cross_site")


def test_a_second_header_doesnt_hide_the_first(service: Process) -> None:
    for twice in (
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin",
        "Origin: null\r\nOrigin: http://localhost",
    ):
        with RawClient(service.url) as client:
            client.send(f"POST /jobs/absent/cancel HTTP/1.1\r\nHost: localhost\r\n{twice}\r\n\r\n".encode())
            assert client.read_answer().code == "cross_site"


def test_curl_cancels_without_a_body(service: Process, parameters: Mapping[str, object]) -> None:
    path = f"/jobs/{parameters['job_id']}/cancel"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for sent in (request("POST", path), request("POST", path, b""), request("POST", path, b"", **form)):
        with RawClient(service.url) as client:
            client.send(sent)
            assert client.read_answer().status == 200
