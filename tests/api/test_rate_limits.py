"""Requests in a second over two APIs: bounded together, refused without a round trip, and told before."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping

import httpx2
import pytest

from domain.scopes import Scope
from tests.support.access import AsKey, bearer
from tests.support.quotas import TwoApis, of_cells
from tests.support.service import Client

PER_SECOND = 20
ITEM = re.compile(r'"(\w+)"((?:;[a-z]+=(?:\d+|"[a-z]+"))*)')
REQUESTS = "http_requests_limited_total"


async def test_a_key_gets_its_rate_over_both_apis_together(two_apis: TwoApis) -> None:
    key = bearer(await two_apis.key(requests_per_second=PER_SECOND))
    statuses: Counter[int] = Counter()
    began = time.monotonic()

    async def send(client: Client) -> None:
        for _ in range(100):
            answer = await client.http.get("/limits", headers=key)
            statuses[answer.status_code] += 1
            if answer.status_code == 429:
                assert answer.json()["code"] == "rate_limited"
                assert answer.headers["Retry-After"] == "1"

    await asyncio.gather(*(send(client) for client in two_apis.clients for _ in range(3)))
    seconds = time.monotonic() - began
    in_advance = 2 * PER_SECOND / 10
    assert set(statuses) == {200, 429}
    assert PER_SECOND - in_advance <= statuses[200] <= PER_SECOND * (1 + seconds) + in_advance


async def test_the_rate_comes_in_again(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(requests_per_second=1))

    async def use_up() -> None:
        while (await key.get("/limits")).status_code == 200:
            pass

    await use_up()
    refused_at = time.monotonic()
    while (await key.get("/limits")).status_code == 429:
        assert time.monotonic() - refused_at < 10
    await use_up()


@pytest.mark.parametrize("per_second", [1, 50, 10_000])
async def test_most_requests_and_refusals_ask_nobody(two_apis: TwoApis, per_second: int) -> None:
    """Whatever asks the bucket writes to it, and what writes takes a transaction id."""
    http, headers = two_apis.first.http, bearer(await two_apis.key(requests_per_second=per_second))
    before, began = await next_transaction(two_apis), time.monotonic()

    async def send() -> None:
        for _ in range(50):
            assert (await http.get("/limits", headers=headers)).status_code in {200, 429}

    await asyncio.gather(*(send() for _ in range(8)))
    spent = await next_transaction(two_apis) - before
    assert spent <= 10 + 25 * (time.monotonic() - began)  # of 400 requests; heartbeats write too


async def test_other_keys_are_not_slowed_down(two_apis: TwoApis) -> None:
    slow = bearer(await two_apis.key(requests_per_second=1))
    free = bearer(await two_apis.key())
    for _ in range(20):
        await two_apis.first.http.get("/limits", headers=slow)
    answers = [await two_apis.first.http.get("/limits", headers=free) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


async def test_what_a_key_may_not_do_counts_too(two_apis: TwoApis) -> None:
    key = bearer(await two_apis.key(Scope.METRICS, requests_per_second=1))
    codes = [(await two_apis.first.http.get("/limits", headers=key)).json()["code"] for _ in range(5)]
    assert codes[0] == "scope_missing"
    assert "rate_limited" in codes


async def test_limits_are_told_before_they_are_met(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(requests_per_second=50, active_jobs=3, cells_per_day=10))
    answer = await key.post("/jobs", of_cells(4))
    assert answer.status_code == 202
    assert items(answer, "RateLimit-Policy") == {
        "requests_per_second": {"q": "50", "w": "1"},
        "active_jobs": {"q": "3", "qu": '"jobs"'},
        "cells_per_day": {"q": "10", "w": "86400", "qu": '"cells"'},
    }
    told = items(answer, "RateLimit")
    assert told["active_jobs"] == {"r": "2"}
    assert told["cells_per_day"]["r"] == "6"
    assert 0 < int(told["cells_per_day"]["t"]) <= 86_400
    assert 0 < int(told["requests_per_second"]["r"]) < 50
    refused = await key.post("/jobs", of_cells(7))
    assert refused.status_code == 429
    assert items(refused, "RateLimit")["cells_per_day"]["r"] == "6"
    read = await key.get("/jobs")
    assert items(read, "RateLimit").keys() == {"requests_per_second"}
    assert items(read, "RateLimit-Policy").keys() == {"requests_per_second", "active_jobs", "cells_per_day"}
    absent = await key.get("/jobs/none")
    assert (absent.status_code, items(absent, "RateLimit").keys()) == (404, {"requests_per_second"})


@pytest.mark.parametrize("path", ["/limits", "/jobs", "/livez"])
async def test_a_key_without_limits_is_told_of_none(two_apis: TwoApis, path: str) -> None:
    answer = await two_apis.first.http.get(path, headers=bearer(await two_apis.key()))
    assert answer.status_code == 200
    assert [name for name in answer.headers if "ratelimit" in name.lower()] == []


async def test_refusals_are_counted_by_limit(two_apis: TwoApis) -> None:
    key = AsKey(two_apis.first.http, await two_apis.key(Scope.JOBS_WRITE, cells_per_day=1))
    before = await reached(two_apis)
    assert before == {"requests_per_second": 0, "active_jobs": 0, "cells_per_day": 0}
    assert (await key.post("/jobs", of_cells(2))).status_code == 429
    assert await reached(two_apis) == {**before, "cells_per_day": 1}


async def next_transaction(two_apis: TwoApis) -> int:
    return int(await two_apis.database.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


async def reached(two_apis: TwoApis) -> Mapping[str, float]:
    """The refusals that an API counted, by limit."""
    answer = await two_apis.first.http.get("/metrics", headers=bearer(await two_apis.key()))
    assert answer.status_code == 200
    found = re.findall(rf'^{REQUESTS}{{limit="(\w+)"}} (\S+)$', answer.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def items(answer: httpx2.Response, field: str) -> Mapping[str, Mapping[str, str]]:
    """The items of a structured field, and their parameters."""
    value = answer.headers[field]
    assert re.fullmatch(rf"{ITEM.pattern}(, {ITEM.pattern})*", value), value
    return {
        name: dict(parameter.split("=") for parameter in parameters.split(";")[1:])
        for name, parameters in ITEM.findall(value)
    }
