"""/openapi.json describes every route: what it does, what it answers, and every problem as a problem document."""

from typing import Any

import pytest

from api.app import create_app
from api.problems import MEDIA_TYPE

METHODS = {"get", "post", "put", "patch", "delete"}
DESCRIPTION: dict[str, Any] = create_app().openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
    if method in METHODS
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_says_what_it_does(name: str) -> None:
    assert OPERATIONS[name]["summary"]
    assert OPERATIONS[name]["description"]
    assert OPERATIONS[name]["tags"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_shows_its_answers(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    shown = {
        status: answer["content"]["application/json"]["schema"] for status, answer in answers.items() if status < "300"
    }
    assert shown
    assert all("$ref" in schema for schema in shown.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_shows_its_problems_as_problems(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    problems = {status: list(answer["content"]) for status, answer in answers.items() if status >= "400"}
    assert set(problems) >= {"500", "503"}
    assert {"404"} <= set(problems) or "{" not in name
    assert all(media_types == [MEDIA_TYPE] for media_types in problems.values())


def test_lists_share_their_page_parameters() -> None:
    lists = [one for one in OPERATIONS.values() if {"cursor"} & {p["name"] for p in one.get("parameters", [])}]
    assert len(lists) == 8
    for operation in lists:
        limit = next(p["schema"] for p in operation["parameters"] if p["name"] == "limit")
        assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 200, 50)


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))
