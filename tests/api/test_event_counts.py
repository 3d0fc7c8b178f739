"""What `GET /events` answers one tenant doesn't depend on how many events another one wrote."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

import httpx2
import orjson
import pytest

from api.authentication import Authenticator
from db import events
from db.engine import Connection
from tests.support.access import bearer, make_key, make_tenant
from tests.support.job_seeds import Seeds
from tests.support.reading_app import replace_services

COUNTS = [0, 1, 2, 49, 50, 51, 1_999, 2_000, 2_001, 2_050, 6_500]
"""Around the limit, around what a statement scans, and their sums."""
WRITE = """
INSERT INTO events (job_no, event_no, type, at, source, data)
SELECT $1, $2 + n, 'progressed', now(), 'a test', '{}'
FROM generate_series(1, $3) AS n
"""


class Page(NamedTuple):
    """What an answer shows but for its token."""

    events: list[tuple[str, int]]
    has_more: bool


class Stage(NamedTuple):
    """A client of the tenant `acme`, with the number of its job, and that of another tenant's job."""

    http: httpx2.AsyncClient
    rows: Connection
    own: int
    other: int

    async def write_own(self) -> None:
        await self.rows.execute(WRITE, self.own, await self._last(self.own), 1)

    async def write_others(self, count: int) -> None:
        await self.rows.execute(WRITE, self.other, await self._last(self.other), count)

    async def read(self, after: str, *, limit: int) -> tuple[Page, str]:
        answer = (await self.http.get("/events", params={"after": after, "limit": limit})).json()
        items = [(event["job_id"], event["event_no"]) for event in answer["items"]]
        return Page(items, answer["has_more"]), answer["next_token"]

    async def _last(self, job_no: int) -> int:
        last: int = await self.rows.fetchval("SELECT coalesce(max(event_no), 0) FROM events WHERE job_no = $1", job_no)
        return last


@pytest.fixture
async def stage(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(events, "SCAN_SECONDS", 60)  # however busy the machine is
    acme = await make_tenant(rows, "acme")
    own, other = await seeds.submit(job_id="own", tenant_no=acme), await seeds.submit(job_id="other")
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    reader.headers.update(bearer(await make_key(rows, tenant="acme")))
    return Stage(reader, rows, own.job_no, other.job_no)


@pytest.mark.parametrize("limit", [1, 50])
async def test_answers_are_the_same_whatever_another_tenant_wrote(stage: Stage, limit: int) -> None:
    await stage.write_own()
    token = (await stage.http.get("/events")).json()["items"][-1]["token"]
    number = 1
    for count in COUNTS:
        await stage.write_others(count)
        await stage.write_own()
        number += 1
        pages = []
        while not pages or pages[-1].has_more:
            page, token = await stage.read(token, limit=limit)
            pages.append(page)
        first = Page([("own", number)], has_more=limit == 1)
        assert pages == ([first, Page([], has_more=False)] if limit == 1 else [first]), count


async def tokens_tell_nothing(stage: Stage, start: str, *, number: int) -> None:
    idle = [await stage.read(start, limit=50) for _ in range(20)]
    busy = []
    for _ in range(20):
        await stage.write_others(1)
        busy.append(await stage.read(start, limit=50))
    assert all(page == Page([], has_more=False) for page, _ in idle + busy)
    numbers = [orjson.loads(urlsafe_b64decode(token + "=="))[2:4] for _, token in idle + busy]
    assert len({number[0] for number in numbers}) == len({number[1] for number in numbers}) == 40
    for of_one in ([number[0] for number in numbers[20:]], [number[1] for number in numbers[20:]]):
        assert of_one not in (sorted(of_one), sorted(of_one, reverse=True))
    await stage.write_own()
    for _, token in idle + busy:  # each is a place from which nothing is missed
        assert (await stage.read(token, limit=50))[0].events == [("own", number + 1)]


async def test_no_token_tells_whether_another_tenant_wrote_anything(stage: Stage) -> None:
    """Neither by being the same or another one, nor by its order."""
    await stage.write_own()
    own = (await stage.http.get("/events")).json()
    await tokens_tell_nothing(stage, own["items"][-1]["token"], number=1)
    await tokens_tell_nothing(stage, (await stage.http.get("/events")).json()["next_token"], number=2)


async def test_a_token_that_was_altered_leads_to_no_place_nearby(stage: Stage) -> None:
    """Who could shift a token by a number of events could count those of others."""
    await stage.write_others(50)
    token = (await stage.http.get("/events")).json()["next_token"]
    version, name, position, job, event = orjson.loads(urlsafe_b64decode(token + "=="))
    await stage.write_own()
    found = []
    for shift in range(-100, 100):
        if shift:
            text = orjson.dumps([version, name, position + shift, job, event])
            page, _ = await stage.read(urlsafe_b64encode(text).rstrip(b"=").decode(), limit=50)
            found += page.events
    assert found == []
