"""Common behaviour of all routes of the running API: HEAD, Allow, one spelling of a path, no ignored parameters."""

import pytest

from tests.support.description import api_description
from tests.support.service import Client, unique

DESCRIBED = api_description()["paths"]
READ = [path for path, operations in DESCRIBED.items() if "get" in operations]
PLAIN = [*(path for path in READ if "{" not in path), "/metrics", "/", "/docs", "/openapi.json"]
UNSTEADY = {"x-request-id", "date", "content-length"}


@pytest.mark.parametrize("path", PLAIN)
async def test_head_answers_like_get(client: Client, path: str) -> None:
    head, get = await client.http.head(path), await client.http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
    assert {name: value for name, value in head.headers.items() if name not in UNSTEADY} == {
        name: value for name, value in get.headers.items() if name not in UNSTEADY
    }


async def test_head_of_a_job_gives_its_length_and_tag(client: Client) -> None:
    at = (await client.post(unique())).headers["Location"]
    await client.end(at.removeprefix("/jobs/"))  # the wait of one that waits grows from answer to answer
    head, get = await client.http.head(at), await client.http.get(at)
    assert (head.headers["ETag"], head.headers["Content-Length"]) == (get.headers["ETag"], str(len(get.content)))


async def test_a_connection_goes_on_after_head(client: Client) -> None:
    for _ in range(3):
        assert (await client.http.head("/jobs/absent")).status_code == 404
        assert (await client.http.get("/livez")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET, HEAD, POST, OPTIONS"),
        ("/jobs/a", "GET, HEAD, OPTIONS"),
        ("/jobs/a/coordinate", "POST, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/static/site.css", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_names_all_right_ones(client: Client, path: str, allowed: str) -> None:
    answer = await client.http.delete(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/jobs/", "/queue/", "/jobs/a/events/"])
async def test_a_path_has_one_spelling(client: Client, path: str) -> None:
    answer = await client.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")


@pytest.mark.parametrize("path", [*READ, "/metrics"])
@pytest.mark.parametrize(
    ("query", "code"), [("colour=red", "unknown_parameter"), ("limit=1&limit=1", "repeated_parameter")]
)
async def test_no_route_ignores_a_parameter(client: Client, path: str, query: str, code: str) -> None:
    answer = await client.http.get(path.replace("{wave_number}", "1") + "?" + query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
