"""Callers of requests: what a request under a key leaves behind."""

import gc

import httpx2
from fastapi import Request

from api.authentication import Authenticator
from db.engine import Engine, connect
from tests.support.access import bearer, make_key
from tests.support.reading_app import replace_services

REQUESTS = 20


async def test_a_request_under_a_key_is_no_work_for_the_garbage_collector(reader: httpx2.AsyncClient, engine: Engine):
    """What refers to itself stays, with its body, until it is collected: 22 µs of CPU for each POST (2026-11-30)."""
    replace_services(reader, authenticator=Authenticator(engine, None))
    async with connect(engine) as connection:
        headers = bearer(await make_key(connection))
    assert (await reader.get("/jobs", headers=headers)).status_code == 200
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            await reader.get("/jobs", headers=headers)
        left = sum(isinstance(each, Request) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left == 0
