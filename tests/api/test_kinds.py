"""Imports are read by the domain and refused by the API, until something runs them."""

import pytest

from tests.domain.bodies import importing
from tests.service import Client, unique

KIND = {"pointer": "/kind", "code": "kind_not_supported", "allowed": ["inference"]}


@pytest.mark.parametrize(
    "body", [importing(), importing(name=None), {"kind": "import"}], ids=["right", "wrong", "bare"]
)
async def test_an_import_is_refused_as_such_whatever_else_it_says(client: Client, body: dict[str, object]) -> None:
    answer = await client.post(body)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert KIND.items() <= error.items()
    assert "not run yet" in error["detail"]


async def test_a_preview_of_an_import_is_refused_too(client: Client) -> None:
    assert (await client.post(importing(), dry_run=True)).json()["code"] == "kind_not_supported"


async def test_an_import_in_an_envelope_is_refused(client: Client) -> None:
    assert (await client.post({"jobspec": importing()})).status_code == 422


async def test_inference_is_taken_by_its_name(client: Client) -> None:
    assert (await client.post(unique(kind="inference"))).status_code == 202
