"""GET /providers and its pause and resume: the providers, their calls in flight, and their circuit breakers."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from broker.envelopes import Client
from configuration.content import Content
from db.engine import Engine
from runtime.config_file import ConfigFile
from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item, reading_app

FILE = ConfigFile.model_validate(
    {
        "providers": {
            "slow": {"type": "openai", "base_urls": {"us-east": "http://127.0.0.1:9/v1"}, "paused": True},
            "hybrid": {"type": "echo"},
        }
    }
)


@pytest.fixture
async def configured(engine: Engine, redis_client: Client) -> Any:
    async with reading_app(engine, redis_client, 1, content=Content(FILE)) as reader:
        yield reader


async def providers(reader: httpx2.AsyncClient) -> dict[str, Any]:
    answer = (await reader.get("/providers")).json()
    assert answer["next_cursor"] is None
    return {item["name"]: item for item in answer["items"]}


async def test_echo_serves_while_none_is_configured(reader: httpx2.AsyncClient) -> None:
    [echo] = (await providers(reader)).values()
    assert (echo["name"], echo["type"], echo["paused"], echo["changed_by"]) == ("echo", "echo", False, "configuration")
    assert echo["regions"] == [
        {"region": region, "max_concurrent": None, "in_flight": 0, "gate": None}
        for region in ("us-east", "eu-west", "asia-pacific")
    ]


async def test_the_configured_ones_are_listed_where_they_can_be_asked(configured: httpx2.AsyncClient) -> None:
    found = await providers(configured)
    assert list(found) == ["hybrid", "slow"]
    assert (found["slow"]["type"], found["slow"]["paused"]) == ("openai", True)
    assert [region["region"] for region in found["slow"]["regions"]] == ["us-east"]
    assert [region["region"] for region in found["hybrid"]["regions"]] == ["us-east", "eu-west", "asia-pacific"]
    assert [provider["name"] for provider in await every_item(configured, "/providers", limit=1)] == ["hybrid", "slow"]


async def test_limits_and_circuit_breakers_are_shown(reader: httpx2.AsyncClient, rows: Any) -> None:
    until = datetime(2030, 1, 31, 12, tzinfo=UTC)
    await rows.execute("UPDATE pools SET max_concurrent = 10 WHERE region = 'us-east'")
    await rows.execute(
        "UPDATE pools SET gate_until = $1, gate_code = 'rate_limited', gate_detail = 'Enough.', gate_times = 3"
        " WHERE region = 'eu-west'",
        until,
    )
    us, eu, asia = (await providers(reader))["echo"]["regions"]
    assert (us["max_concurrent"], us["gate"]) == (10, None)
    assert (eu["max_concurrent"], eu["gate"]) == (
        None,
        {"code": "rate_limited", "detail": "Enough.", "until": "2030-01-31T12:00:00Z", "times": 3},
    )
    assert asia == {"region": "asia-pacific", "max_concurrent": None, "in_flight": 0, "gate": None}


async def test_calls_in_flight_are_those_of_the_leases_in_force(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    seeds.batch_cells = 1
    await seeds.submit(regions=["us-east"], questions=["One?", "Two?", "Three?"])
    await seeds.submit(regions=["EU"])
    await seeds.plan()
    await seeds.claim()
    await rows.execute("UPDATE batches SET slots = 4 WHERE region = 'us-east'")
    await rows.execute("UPDATE batches SET lease_until = now() - interval '1 s' WHERE batch_no = 3")
    regions = (await providers(reader))["echo"]["regions"]
    assert [(region["region"], region["in_flight"]) for region in regions] == [
        ("us-east", 8),
        ("eu-west", 0),
        ("asia-pacific", 0),
    ]


async def test_a_provider_is_paused_and_resumed(reader: httpx2.AsyncClient) -> None:
    app: Any = reader.app  # type: ignore[attr-defined]
    answer = await reader.post("/providers/echo/pause", json={"reason": "It is down."})
    assert (answer.status_code, answer.json()) == (200, (await providers(reader))["echo"])
    assert (answer.json()["paused"], answer.json()["reason"]) == (True, "It is down.")
    assert app.state.services.in_force.current.registry.paused_providers == {"echo"}
    assert (await reader.post("/providers/echo/pause")).json() == answer.json()
    assert (await reader.post("/providers/echo/resume")).json()["paused"] is False
    recorded = (await reader.get("/operations")).json()["items"]
    assert [(item["action"], item["kind"], item["name"], item["reason"]) for item in recorded] == [
        ("resume", "provider", "echo", None),
        ("pause", "provider", "echo", "It is down."),
    ]


async def test_a_person_resumes_a_configured_pause(configured: httpx2.AsyncClient) -> None:
    assert (await configured.post("/providers/slow/resume")).json()["paused"] is False
    assert (await providers(configured))["slow"]["paused"] is False


@pytest.mark.parametrize("name", ["hybrid", "ECHO", "us-east", "a/b", "%00"])
async def test_an_unknown_provider_is_not_found(reader: httpx2.AsyncClient, name: str) -> None:
    answer = await reader.post(f"/providers/{name}/pause")
    assert (answer.status_code, answer.json()["code"], answer.json()["allowed"]) == (404, "not_found", ["echo"])


async def test_a_name_with_a_slash_can_be_paused(engine: Engine, redis_client: Client) -> None:
    file = ConfigFile.model_validate({"providers": {"house/echo": {"type": "echo"}}})
    async with reading_app(engine, redis_client, 1, content=Content(file)) as reader:
        for path in ("/providers/house/echo/pause", "/providers/house%2Fecho/pause"):
            answer = await reader.post(path)
            assert (answer.status_code, answer.json()["name"]) == (200, "house/echo")
