"""Every response tells a browser what it may do with it: whatever its type, its status and the layer that made it."""

import pytest

from tests.support.raw_http import RawClient, request
from tests.support.service import Client, Process, unique

STRICT = "default-src 'none'; frame-ancestors 'none'"
ALWAYS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
}
PAGES = ("/", "/docs")
RESPONSES = {
    "JSON": ("GET", "/jobs", {}),
    "a probe": ("GET", "/livez", {}),
    "metrics": ("GET", "/metrics", {}),
    "the description": ("GET", "/openapi.json", {}),
    "CSV": ("GET", "/executions", {"Accept": "text/csv"}),
    "NDJSON": ("GET", "/executions", {"Accept": "application/x-ndjson"}),
    "options": ("OPTIONS", "/jobs", {}),
    "an unknown path": ("GET", "/nowhere", {}),
    "an unknown job": ("GET", "/jobs/absent", {}),
    "another method": ("DELETE", "/jobs", {}),
    "another site": ("POST", "/jobs", {"Origin": "null"}),
    "an unknown host": ("GET", "/jobs", {"Host": "attacker.example"}),
    "a malformed host": ("GET", "/jobs", {"Host": "a b"}),
    "no JSON": ("POST", "/jobs", {"Content-Type": "application/json"}),
    "a form": ("POST", "/jobs", {"Content-Type": "text/plain"}),
    "a missing asset": ("GET", "/static/none.css", {}),
}


@pytest.mark.parametrize(("method", "path", "headers"), RESPONSES.values(), ids=RESPONSES)
async def test_a_response_is_neither_kept_nor_shown_elsewhere(
    client: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await client.http.request(method, path, headers=headers)
    found = dict(answer.headers)
    assert ALWAYS.items() <= found.items()
    assert found["content-security-policy"] == STRICT
    assert found["cache-control"] == "no-store"
    assert "server" not in found
    assert not [name for name in found if name.startswith("access-control-")]


async def test_a_job_is_kept_by_its_own_reader_only(client: Client) -> None:
    at = (await client.post(unique())).headers["Location"]
    first = await client.http.get(at)
    again = await client.http.get(at, headers={"If-None-Match": first.headers["ETag"]})
    for answer in (first, again):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert ALWAYS.items() <= dict(answer.headers).items()
    assert again.status_code == 304


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_a_policy_of_its_own(client: Client, path: str) -> None:
    answer = await client.http.get(path)
    assert ALWAYS.items() <= dict(answer.headers).items()
    policies = answer.headers.get_list("Content-Security-Policy")
    assert len(policies) == 1
    assert "style-src 'self'" in policies[0]
    assert "frame-ancestors 'none'" in policies[0]
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_assets_are_asked_for_again_by_their_tag(client: Client) -> None:
    first = await client.http.get("/static/site.css")
    again = await client.http.get("/static/site.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert answer.headers["Cache-Control"] == "no-cache"
        assert ALWAYS.items() <= dict(answer.headers).items()


def test_no_header_is_sent_twice(service: Process) -> None:
    for path in ("/", "/docs", "/jobs", "/static/site.css", "/nowhere"):
        with RawClient(service.url) as client:
            client.send(request("GET", path, Connection="close"))
            head = client.wait_for_close().partition(b"\r\n\r\n")[0]
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
        assert sorted(names) == sorted(set(names)), path
