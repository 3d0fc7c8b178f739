"""GET /operations: pauses and resumes with their clients, newest first."""

import httpx2

from tests.support.reading_app import every_item


async def test_each_change_is_listed_with_its_client_and_reason(reader: httpx2.AsyncClient) -> None:
    assert (await reader.get("/operations")).json() == {"items": [], "next_cursor": None}
    for path in ("/regions/EU/pause", "/regions/EU/resume", "/providers/echo/pause"):
        await reader.post(path, json={"reason": path})
    items = await every_item(reader, "/operations", limit=2)
    assert [(item["action"], item["kind"], item["name"], item["reason"]) for item in items] == [
        ("pause", "provider", "echo", "/providers/echo/pause"),
        ("resume", "region", "eu-west", "/regions/EU/resume"),
        ("pause", "region", "eu-west", "/regions/EU/pause"),
    ]
    assert {item["by"] for item in items} == {"api:127.0.0.1"}
    assert [item["id"] for item in items] == sorted((item["id"] for item in items), reverse=True)
