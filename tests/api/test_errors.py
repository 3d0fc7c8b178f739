"""Every answer at or above 400 is a problem document that carries the request's id, whichever layer refused."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import asyncpg
import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict

from api.errors import RESPONSES, BadRequest, install, problem_responses
from api.problems import MEDIA_TYPE
from domain import errors
from domain.errors import FieldError, ParameterError

MEMBERS = {"type", "title", "status", "detail", "code", "errors", "request_id"}
RAISED: dict[str, Exception] = {
    "spec": errors.SpecRejected([FieldError("/models", "models_missing", "Name a model.", {"allowed": ["a"]})]),
    "specs": errors.SpecRejected([FieldError("/a", "x", "X."), FieldError("/b", "y", "Y.")]),
    "alike": errors.SpecRejected([FieldError("/a", "x", "X."), FieldError("/b", "x", "X.")]),
    "parameter": errors.ParametersRejected([ParameterError("region", "unknown_region", "No.", {"allowed": ["a"]})]),
    "id": errors.JobIdConflict("Differs.", job={"id": "a"}, differences=["/name"]),
    "duplicate": errors.DuplicateJob("Same.", job={"id": "a"}),
    "in-flight": errors.KeyInFlight("Wait."),
    "reused": errors.KeyReused("Other body."),
    "absent": errors.NotFound("No job."),
    "overloaded": errors.Overloaded("Full.", retry_after_seconds=7),
    "media": BadRequest(415, "unsupported_media_type", "Send JSON.", header="Content-Type"),
    "malformed": BadRequest(400, "malformed_json", "No JSON."),
    "away": ConnectionRefusedError(111, "refused"),
    "shut": asyncpg.CannotConnectNowError("starting up"),
    "bug": RuntimeError("secret value"),
    "forged": errors.NotFound("No.", status=200, request_id="forged"),
}
EXPECTED = {
    "spec": (422, "models_missing"),
    "specs": (422, "spec_rejected"),
    "alike": (422, "x"),
    "parameter": (422, "unknown_region"),
    "id": (409, "job_id_conflict"),
    "duplicate": (409, "duplicate_job"),
    "in-flight": (409, "idempotency_key_in_flight"),
    "reused": (422, "idempotency_key_reused"),
    "absent": (404, "not_found"),
    "overloaded": (503, "overloaded"),
    "media": (415, "unsupported_media_type"),
    "malformed": (400, "malformed_json"),
    "away": (503, "database_unavailable"),
    "shut": (503, "database_unavailable"),
    "bug": (500, "internal_error"),
    "forged": (404, "not_found"),
}


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = 1


class Body(BaseModel):
    size: int


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/raise/{name}", responses=problem_responses(404, 409))
    async def fail(name: str) -> None:
        raise RAISED[name]

    @app.get("/list")
    async def read(parameters: Annotated[Parameters, Query()]) -> int:
        return parameters.limit

    routes = APIRouter()

    @routes.post("/both")
    async def give() -> int:
        return 1

    @routes.get("/both")
    async def get() -> int:
        return 1

    app.include_router(routes)

    @app.post("/body", max_body_size=50)
    async def take(body: Body) -> int:
        return body.size

    @app.get("/plain")
    async def plain() -> Response:
        return Response("not today", status_code=418, media_type="text/plain")

    install(app)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert document.keys() >= MEMBERS
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["X-Request-ID"]
    for reason in document["errors"]:
        assert reason.keys() >= {"pointer", "code", "detail"}
        assert (reason["pointer"] is None) == ("parameter" in reason)
    assert document["type"].endswith(document["code"])
    return document


@pytest.mark.parametrize("name", RAISED)
async def test_each_error_has_its_status_and_code(client: httpx2.AsyncClient, name: str) -> None:
    document = problem(await client.get(f"/raise/{name}"))
    assert (document["status"], document["code"]) == EXPECTED[name]


def test_every_error_of_the_domain_is_in_the_table() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds <= RESPONSES.keys()


async def test_members_stand_beside_the_standard_ones(client: httpx2.AsyncClient) -> None:
    document = problem(await client.get("/raise/id"))
    assert (document["job"], document["differences"]) == ({"id": "a"}, ["/name"])


async def test_reasons_keep_the_members_that_help_to_fix_them(client: httpx2.AsyncClient) -> None:
    [reason] = problem(await client.get("/raise/spec"))["errors"]
    assert reason == {"pointer": "/models", "code": "models_missing", "detail": "Name a model.", "allowed": ["a"]}


async def test_a_header_at_fault_is_named(client: httpx2.AsyncClient) -> None:
    [reason] = problem(await client.get("/raise/media"))["errors"]
    assert reason == {
        "pointer": None,
        "parameter": "Content-Type",
        "code": "unsupported_media_type",
        "detail": "Send JSON.",
    }


async def test_a_body_that_can_not_be_read_is_at_fault_as_a_whole(client: httpx2.AsyncClient) -> None:
    [reason] = problem(await client.get("/raise/malformed"))["errors"]
    assert reason == {"pointer": "", "code": "malformed_json", "detail": "No JSON."}


@pytest.mark.parametrize(("name", "seconds"), [("overloaded", "7"), ("in-flight", "1"), ("away", "1")])
async def test_a_temporary_error_carries_retry_after(client: httpx2.AsyncClient, name: str, seconds: str) -> None:
    assert (await client.get(f"/raise/{name}")).headers["Retry-After"] == seconds


async def test_a_bug_is_described_in_the_log_only(client: httpx2.AsyncClient, logs: list[Any]) -> None:
    answer = await client.get("/raise/bug")
    assert "secret" not in answer.text
    assert [(line["event"], line["path"]) for line in logs] == [("request_failed", "/raise/{name}")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=x", "invalid_parameter"),
        ("limt=1", "unknown_parameter"),
        ("limt=1&a=1", "unknown_parameter"),
        ("limit=x&a=1", "invalid_parameters"),
    ],
)
async def test_wrong_parameters_are_named_and_not_echoed(client: httpx2.AsyncClient, query: str, code: str) -> None:
    document = problem(await client.get(f"/list?{query}"))
    assert (document["status"], document["code"]) == (422, code)
    assert {"limit", "limt", "a"} >= {reason["parameter"] for reason in document["errors"]}


async def test_a_long_parameter_name_is_cut(client: httpx2.AsyncClient) -> None:
    [reason] = problem(await client.get(f"/list?{'x' * 500}=1"))["errors"]
    assert len(reason["parameter"]) == 100


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"size": "x"}', 422, "invalid_field"),
        (b" " * 60, 413, "body_too_large"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_code(
    client: httpx2.AsyncClient, content: bytes, status: int, code: str
) -> None:
    answer = await client.post("/body", content=content, headers={"Content-Type": "application/json"})
    document = problem(answer)
    assert (document["status"], document["code"]) == (status, code)


async def test_a_body_without_a_length_is_bounded_too(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 10

    answer = await client.post("/body", content=chunks(), headers={"Content-Type": "application/json"})
    assert problem(answer)["code"] == "body_too_large"


async def test_an_unknown_path_is_a_problem(client: httpx2.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["code"] == "unknown_path"


async def test_a_wrong_method_names_the_right_ones(client: httpx2.AsyncClient) -> None:
    answer = await client.delete("/list")
    assert problem(answer)["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_a_wrong_method_names_those_of_every_route_of_the_path(client: httpx2.AsyncClient) -> None:
    assert (await client.delete("/both")).headers["Allow"] == "GET, HEAD, POST, OPTIONS"


@pytest.mark.parametrize("path", ["/list", "/both", "/raise/absent", "/nowhere", "/list?limit=x"])
async def test_head_answers_as_get_does_without_a_body(client: httpx2.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    ids = {"x-request-id": ""}
    assert {**head.headers, **ids} == {**get.headers, **ids}


async def test_an_error_in_plain_text_becomes_a_problem(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/plain")
    assert (answer.status_code, problem(answer)["code"]) == (418, "i'm_a_teapot")


async def test_a_well_formed_request_id_is_taken(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/list", headers={"X-Request-ID": "from-the-gateway:7"})
    assert answer.headers.get_list("X-Request-ID") == ["from-the-gateway:7"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "ä".encode(), "tab\there"])
async def test_any_other_request_id_is_replaced(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.get("/list", headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-ID"]) == 16


async def test_even_a_refused_head_carries_an_id(client: httpx2.AsyncClient) -> None:
    answer = await client.head("/body")
    assert (answer.status_code, len(answer.headers["X-Request-ID"])) == (405, 16)


async def test_the_description_shows_problems_only(client: httpx2.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    answers = schema["paths"]["/raise/{name}"]["get"]["responses"]
    assert {status: list(answer["content"]) for status, answer in answers.items() if status >= "400"} == {
        "400": [MEDIA_TYPE],
        "403": [MEDIA_TYPE],
        "404": [MEDIA_TYPE],
        "408": [MEDIA_TYPE],
        "409": [MEDIA_TYPE],
        "422": [MEDIA_TYPE],
        "431": [MEDIA_TYPE],
        "500": [MEDIA_TYPE],
        "503": [MEDIA_TYPE],
    }
    assert {"Problem", "ProblemReason"} <= schema["components"]["schemas"].keys()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
