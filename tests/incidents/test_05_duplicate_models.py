"""Incident 5: models given twice doubled the work. Of each the first counts, and the answer says what was dropped."""

from typing import Any

import pytest

from tests.domain.bodies import submitted
from tests.support.service import Client, Json, unique


def dropped(answer: Any) -> list[tuple[str, str]]:
    return [
        (note["path"], note["kept"]) for note in answer.json()["normalization"] if note["action"] == "dropped_duplicate"
    ]


async def test_the_spec_of_the_incident_plans_each_model_once(client: Client) -> None:
    body = {**submitted("01"), "id": unique()["name"]}
    answer = await client.post(body)
    assert answer.status_code == 202
    assert [model["id"] for model in answer.json()["spec"]["models"]] == ["llama3.2-1b", "qwen2.5-1.5b"]
    assert answer.json()["planned"] == {"models": 2, "regions": 1, "questions": 1, "executions": 2}
    assert dropped(answer) == [
        ("/metadata/models/2", "/metadata/models/0"),
        ("/metadata/models/3", "/metadata/models/1"),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models": ["a", "b", "a"]}, [("/models/2", "/models/0")]),
        ({"models": ["a", {"id": "a"}]}, [("/models/1", "/models/0")]),
        (
            {"models": ["a"], "regions": ["US", "us-east", "USA"]},
            [("/regions/1", "/regions/0"), ("/regions/2", "/regions/0")],
        ),
        ({"models": ["a"], "questions": ["Why?", " Why? "]}, [("/questions/1", "/questions/0")]),
    ],
)
async def test_a_duplicate_is_dropped_and_reported_wherever_it_stands(
    client: Client, changes: Json, expected: list[tuple[str, str]]
) -> None:
    body = unique(**changes)
    answer = await client.post(body)
    assert answer.status_code == 202
    assert dropped(answer) == expected
    (job,) = await client.jobs(body["name"])
    planned = answer.json()["planned"]
    assert job["planned"] == planned["executions"] == planned["models"] * planned["regions"] * planned["questions"]
    assert planned["executions"] == len({str(model) for model in changes["models"] if isinstance(model, str)})


async def test_a_spec_with_duplicates_is_the_same_work_as_without(client: Client) -> None:
    body = unique(models=["a", "b"], regions=["us-east"])
    created = await client.post({**body, "models": ["b", "a", "b"], "regions": ["US", "us-east"]})
    joined = await client.post(body)
    assert (created.status_code, joined.status_code) == (202, 200)
    assert joined.json()["job"]["id"] == created.json()["job"]["id"]


async def test_duplicates_that_differ_are_refused_rather_than_dropped(client: Client) -> None:
    answer = await client.post(unique(models=[{"id": "a", "provider": "x"}, {"id": "a", "provider": "y"}]))
    assert answer.status_code == 422
