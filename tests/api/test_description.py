"""/openapi.json describes every route with its answers, and every problem as a problem document."""

import re
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from api import refusals
from api.app import create_app
from api.problems import MEDIA_TYPE
from tests.support.description import api_description

METHODS = {"get", "post", "put", "patch", "delete"}
DESCRIPTION: dict[str, Any] = api_description()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
    if method in METHODS
}
TEXT = "GET /metrics"
"""What answers with text, by the format of Prometheus; everything else answers with JSON."""
JSON_OPERATIONS = {name: operation for name, operation in OPERATIONS.items() if name != TEXT}


def answered(operation: dict[str, Any]) -> set[str]:
    """The members of an operation's answer."""
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    return set(DESCRIPTION["components"]["schemas"][reference.rpartition("/")[2]]["properties"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_route_has_a_description(name: str) -> None:
    assert OPERATIONS[name]["summary"]
    assert OPERATIONS[name]["description"]
    assert OPERATIONS[name]["tags"]


@pytest.mark.parametrize("name", JSON_OPERATIONS)
def test_a_route_shows_its_answers(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    shown = {
        status: answer["content"]["application/json"]["schema"]
        for status, answer in answers.items()
        if status < "300" and status != "204"
    }
    assert "content" not in answers.get("204", {})
    assert shown
    assert all("$ref" in schema for schema in shown.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_shows_its_problems_as_problems(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    problems = {status: list(answer["content"]) for status, answer in answers.items() if status >= "400"}
    assert set(problems) >= {"500", "503"}
    assert {"404"} <= set(problems) or "{" not in name
    assert all(media_types == [MEDIA_TYPE] for media_types in problems.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_shows_what_the_server_refuses_before_it(name: str) -> None:
    """Which of them a generated request meets depends on the request."""
    before = {refusal.status for refusal in vars(refusals).values() if isinstance(refusal, refusals.Refusal)}
    assert before == {400, 408, 431, 503}
    assert {str(status) for status in (403, *before)} <= OPERATIONS[name]["responses"].keys()


def test_lists_share_their_page_parameters() -> None:
    lists = [
        name
        for name, operation in JSON_OPERATIONS.items()
        if name.startswith("GET") and "next_cursor" in answered(operation)
    ]
    assert {"GET /jobs", "GET /audit", "GET /regions", "GET /providers", "GET /questions", "GET /operations"} <= {
        *lists
    }
    for name in lists:
        parameters = {parameter["name"]: parameter["schema"] for parameter in OPERATIONS[name]["parameters"]}
        limit = parameters["limit"]
        assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 200, 50)
        assert "cursor" in parameters


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_shows_the_request_id(name: str) -> None:
    assert all(answer["headers"]["X-Request-ID"]["required"] for answer in OPERATIONS[name]["responses"].values())


@pytest.mark.parametrize(
    ("name", "status", "header"),
    [
        ("POST /jobs", "202", "Location"),
        ("POST /jobs", "200", "Location"),
        ("POST /jobs", "202", "Idempotent-Replayed"),
        ("POST /jobs", "200", "Idempotent-Replayed"),
        ("POST /jobs", "409", "Retry-After"),
        ("GET /jobs/{job_id}", "200", "ETag"),
        ("GET /jobs/{job_id}", "304", "ETag"),
        ("GET /jobs/{job_id}/executions", "200", "ETag"),
        ("GET /jobs/{job_id}/waves/{wave_number}/batches", "304", "ETag"),
        ("GET /jobs", "200", "Link"),
        ("GET /audit", "200", "Link"),
        ("GET /readyz", "503", "Retry-After"),
    ],
)
def test_a_header_is_described_where_it_occurs(name: str, status: str, header: str) -> None:
    assert OPERATIONS[name]["responses"][status]["headers"][header]["description"]


def test_every_path_parameter_has_an_example() -> None:
    given = [p for operation in OPERATIONS.values() for p in operation.get("parameters", []) if p["in"] == "path"]
    assert given
    assert all(parameter["schema"]["examples"] for parameter in given)


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_the_description_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often anybody asks for it, by whichever method, with its tag or without."""
    app = create_app()
    described = app.openapi()
    read: list[None] = []

    def openapi() -> dict[str, Any]:
        read.append(None)
        return described

    monkeypatch.setattr(app, "openapi", openapi)
    client = TestClient(app, base_url="http://127.0.0.1")
    answers = [client.get("/openapi.json") for _ in range(3)]
    assert {(each.status_code, each.headers["Content-Type"]) for each in answers} == {(200, "application/json")}
    assert {each.content for each in answers} == {bytes(JSONResponse(described).body)}
    tag = answers[0].headers["ETag"]
    head = client.head("/openapi.json", headers={"If-None-Match": 'W/"other"'})
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", tag)
    same = client.get("/openapi.json", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert len(read) == 1


def test_metrics_are_text() -> None:
    assert list(OPERATIONS[TEXT]["responses"]["200"]["content"]) == ["text/plain"]


def test_operations_have_ids_that_a_person_would_choose() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)
    assert {"submit_job", "list_jobs", "get_job", "cancel_job", "cancel_jobs", "retry_execution"} <= set(ids)
    paths = re.compile(r"_(get|post)$|__")
    assert [name for name in ids if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name) or paths.search(name)] == []


def test_every_tag_has_a_text_and_the_service_is_its_own_server() -> None:
    tags = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert {tag["name"] for tag in DESCRIPTION["tags"] if tag["description"]} == tags
    assert [server["url"] for server in DESCRIPTION["servers"]] == ["/"]
