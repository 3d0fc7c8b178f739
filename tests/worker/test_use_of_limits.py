"""How much of a limit workers use, of what bare loops over the same client get."""

import asyncio
import multiprocessing
import sys

import httpx2
import pytest
import uvloop

from domain.calls import Cell
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import LoggedCall, ProviderServer, after, answer
from tests.support.workers import Fleet
from worker.providers import openai
from worker.providers.http import Address, HttpProvider, open_client
from worker.providers.protocol import Call

CALL_SECONDS = 0.1
LIMIT = 10
SHARE = 0.95


@pytest.mark.quiet
async def test_three_workers_never_pass_a_limit_of_ten_and_use_most_of_it(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """A busy machine may hand calls over late; how much is used where nothing else runs is the long test's."""
    assert await share_of_the_possible(fleet, connection, provider, jobs=4) >= 0.8


@pytest.mark.long
async def test_three_workers_use_a_limit_of_ten_to_the_full(fleet: Fleet, connection, provider: ProviderServer) -> None:
    assert await share_of_the_possible(fleet, connection, provider, jobs=15) >= SHARE


async def share_of_the_possible(fleet: Fleet, connection, provider: ProviderServer, *, jobs: int) -> float:
    """Run jobs that could keep 30 workers busy; what is possible is what ten bare loops over the same client get."""
    provider.behave = after(CALL_SECONDS, answer())
    possible = call_in_bare_loops(provider, calls=400)
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=LIMIT))
    fleet.start(3, CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=200)] * jobs))
    await all_ended(connection, seconds=60)
    calls = provider.calls[400:]
    assert len(calls) == jobs * 200
    assert provider.peak == LIMIT
    reached = calls_per_second(calls)
    sys.stdout.write(f"{reached:.1f} calls/s of {possible:.1f} possible: {reached / possible:.1%}\n")
    await assert_audit(connection)
    return reached / possible


def calls_per_second(calls: list[LoggedCall]) -> float:
    """The rate from the first call's start to the last one's end."""
    return len(calls) / (max(call.ended_at or 0 for call in calls) - min(call.started_at for call in calls))


def call_in_bare_loops(provider: ProviderServer, *, calls: int) -> float:
    """Let a process of its own call with nothing around it; return its calls per second, as the server counts them."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_call_in_bare_loops, args=(provider.url, calls), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    return calls_per_second(list(provider.calls))


def _call_in_bare_loops(url: str, calls: int) -> None:
    async def loop(provider: HttpProvider) -> None:
        for number in range(calls // LIMIT):
            cell = Cell(1, 0, 0, number)
            call = Call(cell, 1, 0, "model-0", "us-east", f"What is {number}?", {}, timeout_seconds=30, attempt=1)
            await provider.answer(call)

    async def loops() -> None:
        client = open_client(100)
        address = Address({"us-east": httpx2.URL(f"{url}/us-east/v1")}, 30, None, lambda spelling: spelling)
        provider = HttpProvider("hybrid", openai, address, client)
        await asyncio.gather(*(loop(provider) for _ in range(LIMIT)))
        await client.aclose()

    uvloop.run(loops())
