"""Bodies that no client means well with: each is refused at once with a problem that repeats nothing of it."""

import asyncio
import gzip
import os
import socket
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest

from tests.support.cpu_waits import clock_of
from tests.support.service import Client, Process

JSON = "application/json"
AS_JSON = MappingProxyType({"Content-Type": JSON})
PROBLEM = "application/problem+json"
LIMIT = 2**20
LONGEST_ANSWER = 64 * 1024
PROMPT_SECONDS = 0.1
"""The best of at least three, at the client; apart from what client and API waited for a CPU."""
TRIES = 15
"""Both processes may share two busy cores with others: a try that met one of those says nothing about the API."""

MARK = "c0ffee-marker"
"""Stands in values only, which no answer repeats; a name may be echoed."""
NAME = "n4me"


def plain(**changes: str) -> bytes:
    """A spec whose members are the given JSON texts."""
    members = {"models": '["m"]', "regions": '["us-east"]', "questions": '["Why?"]', **changes}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()


def metadata(text: str) -> bytes:
    return plain(metadata=f'{{"note":"{MARK}","a":{text}}}')


def listed(count: int, prefix: str) -> str:
    return orjson.dumps([f"{prefix}-{n}" for n in range(count)]).decode()


MALFORMED = {
    "empty": b"",
    "white space": b" \n ",
    "no json": f"models={MARK}".encode(),
    "cut off": metadata('"') + b"",
    "two values": plain() + plain(),
    "trailing comma": b'{"models":["m",]}',
    "single quotes": f"{{'models': ['{MARK}']}}".encode(),
    "comment": b"{/* */}",
    "nan": metadata("NaN"),
    "infinity": metadata("Infinity"),
    "minus infinity": metadata("-Infinity"),
    "hex number": metadata("0x10"),
    "plus one": metadata("+1"),
    "leading zero": metadata("01"),
    "lone surrogate, escaped": metadata(f'"{MARK}\\ud800"'),
    "lone surrogate in a name": metadata(f'{{"{NAME}\\udfff":1}}'),
    "lone surrogate, raw": metadata('"?"').replace(b"?", b"\xed\xa0\x80"),
    "overlong encoding": metadata('"?"').replace(b"?", b"\xc0\x80"),
    "latin-1": metadata('"?"').replace(b"?", b"\xe9"),
    "utf-16": plain().decode().encode("utf-16"),
    "utf-32": plain().decode().encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf" + plain(),
    "raw control character": metadata('"\x01"'),
    "raw NUL": metadata('"?"').replace(b"?", b"\0"),
    "same key twice": plain()[:-1] + f',"name":"{MARK}","name":"{MARK}"}}'.encode(),
    "same key twice, below": metadata(f'{{"{NAME}":"{MARK}","{NAME}":2}}'),
    "same key twice, escaped": metadata('{"a":1,"\\u0061":2}'),
    "100,000 lists": metadata("[" * 100_000 + "]" * 100_000),
    "100,000 objects": metadata('{"a":' * 100_000 + "1" + "}" * 100_000),
    "500,000 opening brackets": b"[" * 500_000,
    "gzip": gzip.compress(plain()),
}
WELL_FORMED = {
    "null": b"null",
    "true": b"true",
    "a number": b"42",
    "a text": f'"{MARK}"'.encode(),
    "an empty list": b"[]",
    "a list of specs": b"[" + plain() + b"]",
    "an empty object": b"{}",
    "NUL in a value": metadata(f'"{MARK}\\u0000"'),
    "NUL in a name": metadata(f'{{"{NAME}\\u0000":1}}'),
    "2^63": metadata("9223372036854775808"),
    "-2^63 - 1": metadata("-9223372036854775809"),
    "10^4000": metadata("1" + "0" * 4000),
    "1e999": metadata("1e999"),
    "-1e999": metadata("-1e999"),
    "70 lists": metadata("[" * 70 + "]" * 70),
    "name with control characters": plain(name=f'"{MARK}\\u0007"'),
    "name of 500,000 characters": plain(name='"' + MARK * 38_000 + '"'),
    "field of 500,000 characters": plain(**{NAME * 125_000: "1"}),
    "50,000 unknown fields": plain(**{f"{NAME}{n}": "1" for n in range(50_000)}),
    "equal names in two Unicode forms": metadata('{"\u00e9":1,"e\u0301":2}'),
    "1,000 of each": plain(models=listed(1000, "m"), regions=listed(1000, "r"), questions=listed(1000, "q")),
    "200 of each": plain(models=listed(200, "m"), regions='["us-east","eu-west"]', questions=listed(200, "q")),
    "100,000 models": plain(models="[" + ",".join(['"m"'] * 100_000) + "]"),
    "300,000 numbers for models": plain(models="[" + ",".join(["1"] * 300_000) + "]"),
    "350,000 numbers": metadata("[" + ",".join(["12"] * 349_000) + ",9223372036854775808]"),
    "350,000 lists": metadata("[" + "[]," * 345_000 + "9223372036854775808]"),
    "170,000 empty texts and a NUL": metadata("[" + '"",' * 340_000 + '"\\u0000"]'),
    "80,000 names and a NUL": metadata("{" + "".join(f'"{n}":1,' for n in range(80_000)) + '"\\u0000":1}'),
    "60,000 names in two forms": metadata("{" + "".join(f'"\u00e9{n}":1,' for n in range(60_000)) + '"a\\u0000":1}'),
    "types all wrong": plain(models="{}", regions="1", questions='"a"', policy="[]", metadata="[]", parameters="1"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_no_json_is_refused(client: Client, body: bytes) -> None:
    answer = await refused_at_once(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("body", WELL_FORMED.values(), ids=WELL_FORMED)
async def test_a_body_with_unstorable_values_is_refused(client: Client, body: bytes) -> None:
    answer = await refused_at_once(client, body)
    assert answer.status_code == 422


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT])
async def test_a_body_that_is_too_large_is_refused(client: Client, size: int) -> None:
    answer = await refused_at_once(client, padded(size))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_that_is_too_large_and_does_not_say_so_is_refused(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield padded(LIMIT // 16)

    answer = await client.http.post("/jobs", content=chunks(), headers={"Content-Type": JSON})
    assert "Content-Length" not in answer.request.headers
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_of_the_largest_size_is_read(client: Client) -> None:
    answer = await client.post({"name": "x" * (LIMIT - 11)})
    assert len(answer.request.content) == LIMIT
    assert answer.status_code == 422


async def test_a_body_that_never_ends_is_refused_before_its_end(service: Process) -> None:
    """The answer comes while the client still has gigabytes to send."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: {2**40}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "", "json"],
)
async def test_a_body_of_another_type_is_refused(client: Client, content_type: str) -> None:
    answer = await refused_at_once(client, plain(), {"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_without_a_type_is_refused(client: Client) -> None:
    answer = await client.http.post("/jobs", content=plain())
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"]
)
async def test_json_by_another_name_is_read(client: Client, content_type: str) -> None:
    answer = await client.http.post("/jobs", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 422


async def test_a_compressed_body_is_refused(client: Client) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = await refused_at_once(client, gzip.compress(plain()), headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")


async def test_the_api_answers_others_meanwhile(client: Client) -> None:
    """A large body that is taken holds the others up for no longer than it takes to read it."""
    large = (
        plain(metadata="[" + ",".join(["12"] * 40_000) + "]").replace(b'"metadata":', b'"metadata":{"a":')[:-1] + b"}}"
    )
    posts = [
        asyncio.create_task(client.http.post("/jobs", content=large, headers={"Content-Type": JSON})) for _ in range(5)
    ]
    clock = clock_of(os.getpid(), client.process.pid)
    await client.http.get("/openapi.json")
    waited = clock()
    assert {answer.status_code for answer in await asyncio.gather(*posts)} <= {200, 202}
    assert waited < 5 * PROMPT_SECONDS


def padded(size: int) -> bytes:
    """A correct spec of exactly so many bytes."""
    return plain().ljust(size)


async def refused_at_once(client: Client, body: bytes, headers: Mapping[str, str] = AS_JSON) -> httpx2.Response:
    """Post three times, or more often while it isn't prompt; no answer may repeat the body."""
    seconds: list[float] = []
    while len(seconds) < 3 or (min(seconds) >= PROMPT_SECONDS and len(seconds) < TRIES):
        clock = clock_of(os.getpid(), client.process.pid)
        answer = await client.http.post("/jobs", content=body, headers=headers)
        seconds.append(clock())
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert MARK not in answer.text
    assert len(answer.content) < LONGEST_ANSWER
    assert min(seconds) < PROMPT_SECONDS
    return answer
