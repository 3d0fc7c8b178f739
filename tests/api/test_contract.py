"""The running API keeps to its own description: allowed requests are generated, their answers checked."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.description import api_description
from tests.support.service import Client, Process, running, unique
from tests.support.waiting import eventually

EXAMPLES = 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DESCRIPTION = api_description()
contract = schemathesis.openapi.from_dict(deepcopy(DESCRIPTION))


async def test_the_description_is_served(client: Client) -> None:
    assert (await client.http.get("/openapi.json")).json() == DESCRIPTION


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def service(module_service: Process) -> Process:
    """An API of this module's own: generated requests pause regions, too."""
    return module_service


@pytest.fixture(scope="module")
def finished(
    service: Process, engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """The path parameters of a job that a worker has run: with waves, batches, cells, dead letters and events."""
    output = tmp_path_factory.mktemp("contract") / "worker.log"
    worker = running("worker", output, module_database_url, engines.redis_url, echo_failure_rate=0.5)
    with httpx2.Client(base_url=service.url) as http, worker:
        for name in ("regions/us-east", "providers/echo"):
            assert http.post(f"/{name}/resume").status_code == 200
        body = unique(questions=[f"Question {n}?" for n in range(40)], policy={"max_attempts": 1})
        at = http.post("/jobs", json=body).headers["Location"]
        eventually(lambda: http.get(at).json()["finished_at"], seconds=30)
        (execution, *_) = http.get(f"{at}/executions").json()["items"]
        (dead_letter, *_) = http.get("/queue/dead").json()["items"]
        (running_worker, *_) = http.get("/queue").json()["workers"]
        key = http.post("/keys", json={"name": "a test's", "tenant": "default", "scopes": ["jobs:read"]}).json()
    return {
        "job_id": at.removeprefix("/jobs/"),
        "wave_number": 1,
        "execution_id": execution["id"],
        "batch_id": 1,
        "dead_letter_id": dead_letter["id"],
        "worker_id": running_worker["id"],
        "key_id": key["id"],
        "tenant": "default",
        "regions": "us-east",
        "providers": "echo",
    }


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections for all requests; one of its own for each took as long as the request. It adds no headers."""
    with requests.Session() as session:
        session.headers.clear()
        session.trust_env = False
        yield session


@contract.parametrize()
@bounded
def test_every_answer_is_as_described(case: "Case[Any]", service: Process, session: requests.Session) -> None:
    case.call_and_validate(base_url=service.url, session=session, checks=CHECKS, timeout=10)


@contract.include(path_regex=r"\{").exclude(path_regex="^/(datasets|sessions)").parametrize()
@bounded
def test_every_answer_about_resources_matches_its_description(
    case: "Case[Any]", service: Process, session: requests.Session, finished: Mapping[str, Any]
) -> None:
    noun = case.path.split("/")[1]
    case.path_parameters = {name: finished[noun if name == "name" else name] for name in case.path_parameters}
    answer = case.call(base_url=service.url, session=session, timeout=10)
    case.validate_response(answer, checks=CHECKS)
    assert answer.status_code != 404
