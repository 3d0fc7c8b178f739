"""GET /operations: who paused and resumed what, newest first."""

import httpx2

from tests.support.reading_app import every_item


async def test_each_change_is_listed_with_who_and_why(reader: httpx2.AsyncClient) -> None:
    assert (await reader.get("/operations")).json() == {"items": [], "next_cursor": None}
    for path in ("/regions/EU/pause", "/regions/EU/resume", "/providers/echo/pause"):
        await reader.post(path, json={"reason": path})
    items = await every_item(reader, "/operations", limit=2)
    assert [(one["action"], one["kind"], one["name"], one["reason"]) for one in items] == [
        ("pause", "provider", "echo", "/providers/echo/pause"),
        ("resume", "region", "eu-west", "/regions/EU/resume"),
        ("pause", "region", "eu-west", "/regions/EU/pause"),
    ]
    assert {one["by"] for one in items} == {"api:127.0.0.1"}
    assert [one["id"] for one in items] == sorted((one["id"] for one in items), reverse=True)
