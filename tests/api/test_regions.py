"""GET /regions and its pause and resume: shown as PostgreSQL has it, under any spelling, safe to repeat."""

import asyncio
from typing import Any

import httpx2
import pytest

from broker import envelopes
from broker.envelopes import Client
from configuration.content import Content
from db.engine import Engine
from runtime.config_file import ConfigFile
from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item, reading_app


async def region(reader: httpx2.AsyncClient, name: str) -> Any:
    items = (await reader.get("/regions")).json()["items"]
    return next(item for item in items if item["name"] == name)


async def press(reader: httpx2.AsyncClient, path: str, **body: Any) -> Any:
    answer = await reader.post(path, json=body) if body else await reader.post(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_regions_are_listed_as_they_are_configured(reader: httpx2.AsyncClient) -> None:
    answer = (await reader.get("/regions")).json()
    assert answer["next_cursor"] is None
    assert [(item["name"], item["aliases"], item["paused"], item["changed_by"]) for item in answer["items"]] == [
        ("us-east", ["US", "USA", "NA"], False, "configuration"),
        ("eu-west", ["EU", "EUROPE"], False, "configuration"),
        ("asia-pacific", ["APAC", "ASIA"], False, "configuration"),
    ]
    assert all(item["changed_at"] and item["reason"] is None for item in answer["items"])


async def test_the_list_pages_like_any_other(reader: httpx2.AsyncClient) -> None:
    items = await every_item(reader, "/regions", limit=1)
    assert [item["name"] for item in items] == ["us-east", "eu-west", "asia-pacific"]
    assert (await reader.get("/regions?limit=0")).status_code == 422
    assert (await reader.get("/regions?cursor=WzEsInByb3ZpZGVycyIsMF0")).json()["code"] == "cursor_invalid"


async def test_a_region_that_is_configured_as_paused_is_shown_so(engine: Engine, redis_client: Client) -> None:
    file = ConfigFile.model_validate({"regions": {"us-east": {}, "eu-west": {"paused": True}}})
    async with reading_app(engine, redis_client, 1, content=Content(file, is_simulated=True)) as reader:
        shown = await region(reader, "eu-west")
    assert (shown["paused"], shown["changed_by"]) == (True, "configuration")


@pytest.mark.parametrize("name", ["us-east", "US", "%20usa%20", "Na"])
async def test_a_region_is_paused_by_any_spelling(reader: httpx2.AsyncClient, name: str) -> None:
    answer = await press(reader, f"/regions/{name}/pause", reason=" An outage. ")
    assert answer == await region(reader, "us-east")
    assert (answer["name"], answer["paused"], answer["reason"]) == ("us-east", True, "An outage.")
    assert answer["changed_by"].startswith("api:")
    assert [item["paused"] for item in (await reader.get("/regions")).json()["items"]] == [True, False, False]


async def test_a_second_press_shows_the_first(reader: httpx2.AsyncClient) -> None:
    first = await press(reader, "/regions/us-east/pause", reason="first")
    assert await press(reader, "/regions/us-east/pause", reason="second") == first
    resumed = await press(reader, "/regions/us-east/resume")
    assert (resumed["paused"], resumed["reason"]) == (False, None)
    assert await press(reader, "/regions/us-east/resume", reason="again") == resumed


async def test_of_fifty_presses_at_once_one_is_recorded(reader: httpx2.AsyncClient) -> None:
    for action in ("pause", "resume"):
        answers = await asyncio.gather(*(press(reader, f"/regions/us-east/{action}", reason=str(n)) for n in range(50)))
        assert len({answer["reason"] for answer in answers}) == 1
    recorded = (await reader.get("/operations")).json()["items"]
    assert [(item["action"], item["kind"], item["name"]) for item in recorded] == [
        ("resume", "region", "us-east"),
        ("pause", "region", "us-east"),
    ]


async def test_the_app_refuses_by_its_last_reading(reader: httpx2.AsyncClient) -> None:
    app: Any = reader.app  # type: ignore[attr-defined]
    await press(reader, "/regions/EU/pause")
    assert app.state.services.in_force.current.registry.paused_regions == {"eu-west"}
    await press(reader, "/regions/EU/resume")
    assert app.state.services.in_force.current.registry.paused_regions == frozenset()


@pytest.mark.parametrize("name", ["mars", "us_east", "echo", "a/b", "%00"])
@pytest.mark.parametrize("action", ["pause", "resume"])
async def test_an_unknown_region_is_not_found(reader: httpx2.AsyncClient, name: str, action: str) -> None:
    answer = await reader.post(f"/regions/{name}/{action}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["allowed"] == ["us-east", "eu-west", "asia-pacific"]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b'{"reason": "a", "reason": "b"}', "application/json", 400, "malformed_json"),
        (b'{"reason": "\\ud800"}', "application/json", 400, "malformed_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b'"' + b"x" * 2**20 + b'"', "application/json", 413, "body_too_large"),
        (b"[]", "application/json", 422, "invalid_field"),
        (b"null", "application/json", 422, "invalid_field"),
        (b'{"reason": 7}', "application/json", 422, "invalid_field"),
        (b'{"reason": "\\u0000"}', "application/json", 422, "invalid_field"),
        (b'{"reason": "' + b"x" * 501 + b'"}', "application/json", 422, "invalid_field"),
        (b'{"because": "why"}', "application/json", 422, "unknown_field"),
    ],
)
async def test_a_reason_that_can_not_be_taken_changes_nothing(
    reader: httpx2.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    answer = await reader.post("/regions/us-east/pause", content=content, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await region(reader, "us-east"))["paused"] is False


async def test_a_resume_publishes_an_envelope_of_held_work(
    reader: httpx2.AsyncClient, seeds: Seeds, redis_client: Client, announcing: None
) -> None:
    job = await seeds.submit(regions=["us-east", "eu-west"])
    await seeds.plan()
    await press(reader, "/regions/eu-west/pause")
    await press(reader, "/regions/eu-west/resume")
    [delivery] = await _deliveries(redis_client)
    assert delivery.envelope is not None
    assert (delivery.envelope.job, delivery.envelope.batch, delivery.envelope.source) == (job.job_no, 2, "manual")


async def test_a_resume_that_lets_nothing_go_on_publishes_nothing(
    reader: httpx2.AsyncClient, seeds: Seeds, redis_client: Client, announcing: None
) -> None:
    await seeds.submit(regions=["us-east"])
    await seeds.plan()
    await press(reader, "/regions/eu-west/resume")
    await press(reader, "/regions/us-east/pause")
    await press(reader, "/regions/us-east/resume")
    assert len(await _deliveries(redis_client)) == 1


async def _deliveries(redis_client: Client) -> list[envelopes.Delivery]:
    """The envelopes on the stream, once there is one."""
    while not (found := await envelopes.reserve(redis_client, "w", count=10, block_seconds=1)):
        pass
    return found
