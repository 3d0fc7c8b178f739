"""GET /questions: the bank, by id and text, in pages."""

import httpx2

from domain.registry import DEFAULT_QUESTIONS
from tests.support.reading_app import every_item

BANK = [{"id": name, "text": text} for name, text in DEFAULT_QUESTIONS.items()]


async def test_the_bank_is_listed_as_it_is_configured(reader: httpx2.AsyncClient) -> None:
    assert (await reader.get("/questions")).json() == {"items": BANK, "next_cursor": None}


async def test_the_bank_is_read_in_pages(reader: httpx2.AsyncClient) -> None:
    for limit in (1, 3, 4):
        assert await every_item(reader, "/questions", limit=limit) == BANK
    assert (await reader.get("/questions", params={"cursor": "x"})).json()["code"] == "cursor_invalid"
