"""Staying alive: leases are renewed whatever else the worker's connections are busy with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from db.engine import Engine, connect, create_engine
from db.workers import UNKNOWN
from domain.normalize import normalize
from tests.support.configurations import REGISTRY
from tests.support.jobs import job_body
from tests.support.planned_batches import plan_and_claim
from tests.support.waiting import eventually_async
from tests.support.worker_contexts import worker_context
from worker import heartbeat
from worker.__main__ import KINDS
from worker.context import Context
from worker.runner import Wakes

CONNECTIONS = 2


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Engine, Engine]]:
    """The connections of a worker's work, and those of its heartbeats."""
    both = create_engine(database_url, size=CONNECTIONS), create_engine(database_url, size=2)
    yield both
    for result in both:
        await result.dispose()


def served() -> Any:
    """Something that serves one pool, as far as holding and renewing asks of it."""
    serving = SimpleNamespace(
        called={("echo", "us-east"): [1]}, instant={}, standing=UNKNOWN, identity_nos_by_pool={("echo", "us-east"): [1]}
    )
    return SimpleNamespace(now=serving, providers={})


def context(work: Engine, heartbeats: Engine) -> Context:
    return worker_context(work, heartbeats=heartbeats, heartbeat_seconds=0.05, concurrency=10, served=served())


async def test_leases_are_renewed_while_every_connection_of_the_work_is_taken(pair, connection) -> None:
    given = context(*pair)
    [[batch]] = await plan_and_claim(connection, [job_body(questions=3)], batch_cells=3)
    wakes = Wakes(lambda: None, lambda: None)
    runners = [kind.open_runner(given, wakes) for kind in KINDS]
    runners[0]._executor.start([batch], {batch.job_no: normalize(job_body(questions=3), REGISTRY).spec})
    await connection.execute("UPDATE batches SET lease_until = now() + interval '1 s'")
    async with AsyncExitStack() as taken, asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            await taken.enter_async_context(connect(given.engine))
        beating = group.create_task(heartbeat.keep_leases(given, runners))
        renewed = "SELECT lease_until > now() + interval '30 s' FROM batches"
        await eventually_async(lambda: connection.fetchval(renewed), seconds=3, what="the lease is renewed")
        beating.cancel()
