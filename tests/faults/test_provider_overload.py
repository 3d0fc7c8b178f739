"""A provider that is overloaded for a while: nothing fails for it, and it is hardly asked meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, statuses
from tests.support.provider_server import (
    Behaviour,
    Exchange,
    ProviderServer,
    after,
    answer,
    provider_server,
    refuse,
    reset,
)
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 5, "HEARTBEAT_SECONDS": 0.5, "RECONCILE_SECONDS": 1}
LIMIT = 10
MOST_A_SECOND = 2
NEVER_AGAIN = {"max_attempts": 1}
"""A single try that counted would fail its cell."""


@dataclass(frozen=True)
class Shape:
    """How a provider of a type says that it is overloaded."""

    kind: str
    refusal: Behaviour


SHAPES = {
    "429-without-a-time": Shape("openai", refuse(429, "rate_limit_exceeded")),
    "529-with-retry-after": Shape("openai", refuse(529, "overloaded_error", headers={"Retry-After": "3"})),
    "503-without-a-time": Shape("openai", refuse(503)),
    "503-with-milliseconds": Shape("openai", refuse(503, headers={"retry-after-ms": "300"})),
    "429-with-a-reset": Shape("openai", refuse(429, headers={"x-ratelimit-reset-requests": "1s"})),
    "200-with-success-false": Shape("hybrid_router", refuse(200, "RATE_LIMITED")),
}


@dataclass
class Overloaded:
    """A server that refuses for `seconds` from its first call on, by its own clock, and then answers."""

    server: ProviderServer
    refusal: Behaviour
    seconds: float

    async def behave(self, exchange: Exchange) -> None:
        is_over = exchange.call.started_at >= self.until
        await (answer() if is_over else self.refusal)(exchange)

    @property
    def until(self) -> float:
        return self.server.calls[0].started_at + self.seconds

    @property
    def later_calls(self) -> list[float]:
        """When it was asked while overloaded, seconds from the first call on, after the calls of the first second."""
        asked = [call.started_at - self.server.calls[0].started_at for call in self.server.calls]
        return [at for at in asked if 1 <= at < self.seconds]


@pytest.fixture
def servers() -> Iterator[dict[str, ProviderServer]]:
    """A provider for each shape, under the shape's name."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(provider_server()) for name in SHAPES}


async def overload(fleet: Fleet, connection, servers: dict[str, ProviderServer], *, seconds: float, cells: int) -> None:
    """Let all of them be overloaded at once, each with so many cells to answer."""
    overloaded = {}
    for name, server in servers.items():
        overloaded[name] = Overloaded(server, SHAPES[name].refusal, seconds)
        server.behave = overloaded[name].behave
    config = fleet.folder / "breakwater.toml"
    config.write_text(
        "".join(
            server.config(kind=SHAPES[name].kind, name=name, max_concurrent=LIMIT) for name, server in servers.items()
        )
    )
    fleet.start(2, CONFIG=config, **QUICK)
    bodies = [
        {**job_body(questions=cells, policy=NEVER_AGAIN), "models": [{"id": "model-0", "provider": name}]}
        for name in servers
    ]
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, bodies))
    await all_ended(connection, seconds=seconds + 60)
    assert await statuses(connection) == {"completed": len(servers)}
    burnt = "SELECT count(*) FROM executions WHERE attempts - forgiven <> 1 OR status <> 'completed'"
    assert await connection.fetchval(burnt) == 0
    for name, item in overloaded.items():
        meanwhile = sum(call.started_at < item.until for call in item.server.calls)
        assert meanwhile - len(item.later_calls) <= LIMIT + 2 * MOST_A_SECOND, "those in flight at the first refusal"
        assert meanwhile <= max(LIMIT + 2 * MOST_A_SECOND, MOST_A_SECOND * seconds)
        for at in item.later_calls:
            assert sum(at <= other < at + 1 for other in item.later_calls) <= MOST_A_SECOND, (name, item.later_calls)
        assert len(item.server.calls) == meanwhile + cells, "each cell was answered once"
    await assert_audit(connection)


async def test_a_short_overload_fails_nothing_and_is_hardly_asked(fleet: Fleet, connection, servers) -> None:
    await overload(fleet, connection, servers, seconds=2, cells=30)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_an_overload_of_a_minute_fails_none_of_100_cells(fleet: Fleet, connection, servers) -> None:
    await overload(fleet, connection, servers, seconds=60, cells=100)


async def test_a_provider_that_takes_fewer_calls_at_once_than_its_limit_fails_nothing(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """It refuses whatever exceeds two at once, without a time: its circuit breaker opens and closes all the while."""

    async def behave(exchange: Exchange) -> None:
        await (refuse(429) if exchange.server.in_flight > 2 else after(0.05, answer()))(exchange)

    provider.behave = behave
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=LIMIT))
    fleet.start(2, CONFIG=config, **QUICK)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=30, policy=NEVER_AGAIN)]))
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}
    assert sum(call.status == 200 for call in provider.calls) == 30
    await assert_audit(connection)


async def test_an_open_circuit_breaker_is_probed_by_one_call_after_another_pause_where_the_provider_hangs_up(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """It refuses ten calls, and then breaks each off until two seconds after the first."""

    async def behave(exchange: Exchange) -> None:
        first = exchange.server.calls[0].started_at
        if exchange.call.number <= LIMIT:
            await refuse(429)(exchange)
        else:
            await (answer() if exchange.call.started_at > first + 2 else reset())(exchange)

    provider.behave = behave
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=LIMIT))
    fleet.start(CONFIG=config, **QUICK)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=40, policy={"max_attempts": 2})])
    )
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}
    broken = [call for call in provider.calls if call.status == 0]
    assert 2 <= len(broken) <= 4, "after 0.25, 0.5 and 1 seconds"
    await assert_audit(connection)
