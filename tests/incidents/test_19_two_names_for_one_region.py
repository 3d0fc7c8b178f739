"""Incident 19: `EU` here and `eu-west` there: done work looked pending. Every answer names regions canonically."""

from collections.abc import Iterator
from typing import Any

from tests.support.service import Client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

ALIASES = {"EU", "EUROPE", "US", "USA", "NA", "APAC", "ASIA"}


def texts(shown: Any) -> Iterator[str]:
    """Every text in an answer."""
    if isinstance(shown, dict):
        for member in shown.values():
            yield from texts(member)
    elif isinstance(shown, list):
        for member in shown:
            yield from texts(member)
    elif isinstance(shown, str):
        yield shown


async def test_a_region_has_one_name_in_every_answer(fleet: Fleet, connection: Any, own_client: Client) -> None:
    fleet.start()
    http = own_client.http
    body = unique(regions=["US"], models=["a", {"id": "b", "regions": ["usa"]}])
    answer = (await own_client.post({**body, "regions": ["EU", "US"]})).json()
    at = answer["job"]["links"]["self"]

    async def completed() -> bool:
        return (await http.get(at)).json()["status"] == "completed"

    await eventually_async(completed, what="the job completed")
    job = (await http.get(at)).json()
    assert job["submitted"]["regions"] == ["EU", "US"]
    assert [(note["from"], note["to"]) for note in job["normalization"] if note["action"] == "canonicalized"] == [
        ("EU", "eu-west"),
        ("US", "us-east"),
        ("usa", "us-east"),
    ]
    del job["submitted"], job["normalization"], answer["normalization"]
    parts = [(await http.get(link)).json() for link in job["links"].values() if link != at]
    batches = (await http.get(f"{at}/waves/1/batches")).json()
    queue = (await http.get("/queue")).json()
    assert not ALIASES & {text.upper() for text in texts([answer, job, parts, batches, queue])}
    cells = (await http.get(f"{at}/executions")).json()["items"]
    assert {(cell["model_id"], cell["region"], cell["region_served"]) for cell in cells} == {
        ("a", "eu-west", "eu-west"),
        ("a", "us-east", "us-east"),
        ("b", "us-east", "us-east"),
    }
    assert {batch["region"] for batch in batches["items"]} == {"us-east", "eu-west"}


async def test_any_name_of_a_region_finds_the_same(fleet: Fleet, connection: Any, own_client: Client) -> None:
    http = own_client.http
    job_id = (await own_client.post(unique(regions=["Europe"]))).json()["job"]["id"]
    for name in ("EU", "eu-west", "europe"):
        assert [job["id"] for job in (await http.get("/jobs", params={"region": name})).json()["items"]] == [job_id]
        paused = (await http.post(f"/regions/{name}/pause")).json()
        assert (paused["name"], paused["aliases"]) == ("eu-west", ["EU", "EUROPE"])
    assert len((await http.get("/operations")).json()["items"]) == 1
