"""What is paused is held while everything else runs, and goes on at once when it is resumed."""

from collections import Counter
from typing import Any

import pytest

from tests.support.outcomes import all_ended, assert_audit, attempts, counter_total, stream_is_empty
from tests.support.service import Client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

WAIT = {"policy": {"on_paused": "wait"}}
NO_FALLBACK = {"LEASE_SECONDS": 60, "RECONCILE_SECONDS": 60}
"""The reconciler comes later than the test ends: what goes on was announced."""


async def press(client: Client, path: str) -> None:
    answer = await client.http.post(path)
    assert answer.status_code == 200, answer.text


async def post(client: Client, **changes: Any) -> str:
    answer = await client.post(unique(**changes))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"]["id"])


async def ended_in(connection: Any, region: str) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM executions JOIN batches USING (job_no, batch_no)"
        " WHERE region = $1 AND executions.finished_at IS NOT NULL",
        region,
    )
    return count


async def in_hand(connection: Any, region: str) -> int:
    """How many batches of a region workers hold."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM batches WHERE region = $1 AND status = 'running'", region
    )
    return count


@pytest.mark.parametrize("delay_seconds", [0, 0.01])
async def test_a_paused_region_holds_its_cells_while_another_ones_run(
    fleet: Fleet, connection: Any, own_client: Client, delay_seconds: float
) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=delay_seconds, **NO_FALLBACK)
    await press(own_client, "/regions/EU/pause")
    held = await post(own_client, regions=["us-east", "eu-west"], questions=["One?", "Two?"], **WAIT)
    others = [await post(own_client) for _ in range(5)]

    async def all_but_the_held_ended() -> bool:
        open_jobs = await connection.fetch("SELECT id FROM jobs WHERE finished_at IS NULL")
        return [row["id"] for row in open_jobs] == [held] and await ended_in(connection, "us-east") == 2 + len(others)

    await eventually_async(all_but_the_held_ended, what="everything else ended")
    await stream_is_empty(fleet.redis_url)
    assert (await ended_in(connection, "eu-west"), await in_hand(connection, "eu-west")) == (0, 0)
    await press(own_client, "/regions/EU/resume")
    await all_ended(connection, seconds=5)
    assert await attempts(connection) == {("completed", 1): 4 + len(others)}
    await assert_audit(connection)


async def test_a_paused_provider_holds_everything_that_it_serves(
    fleet: Fleet, connection: Any, own_client: Client
) -> None:
    fleet.start(2, **NO_FALLBACK)
    await press(own_client, "/providers/echo/pause")
    jobs = [await post(own_client, **WAIT) for _ in range(5)]

    async def planned() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM batches") == len(jobs))

    await eventually_async(planned, what="all is planned")
    await stream_is_empty(fleet.redis_url)
    assert await attempts(connection) == {("planned", 0): len(jobs)}
    await press(own_client, "/providers/echo/resume")
    await all_ended(connection, seconds=5)
    await assert_audit(connection)


async def test_a_pause_lets_running_work_end_and_starts_no_more(
    fleet: Fleet, connection: Any, own_client: Client
) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=0.1, WORKER_CONCURRENCY=4, **NO_FALLBACK)
    questions = [f"What is {n} plus {n}?" for n in range(60)]
    await post(own_client, models=["a", "b"], regions=["us-east", "eu-west"], questions=questions)

    async def under_way() -> bool:
        return min([await ended_in(connection, region) for region in ("us-east", "eu-west")]) > 2

    await eventually_async(under_way, what="both regions run")
    await press(own_client, "/regions/EU/pause")

    async def nothing_in_hand() -> bool:
        return await in_hand(connection, "eu-west") == 0

    await eventually_async(nothing_in_hand, seconds=5, what="what ran in eu-west ended or was given back")
    ended = await ended_in(connection, "eu-west")

    async def us_east_ended() -> bool:
        return await ended_in(connection, "us-east") == 120

    await eventually_async(us_east_ended, seconds=20, what="us-east ended")
    assert (await ended_in(connection, "eu-west"), await in_hand(connection, "eu-west")) == (ended, 0)
    assert ended < 120
    await press(own_client, "/regions/EU/resume")
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 240}
    await assert_audit(connection)


async def test_held_work_is_not_announced_as_lost(fleet: Fleet, connection: Any, own_client: Client) -> None:
    fleet.start(1, LEASE_SECONDS=1, HEARTBEAT_SECONDS=0.2, RECONCILE_SECONDS=0.1)
    await press(own_client, "/regions/us-east/pause")
    await post(own_client, **WAIT)

    async def held_for_long() -> bool:
        return bool(await connection.fetchval("SELECT max(now() - queued_at) > interval '2 s' FROM ready"))

    await eventually_async(held_for_long, what="twenty looks of the reconciler")
    assert await counter_total(connection, "breakwater_reconciled") == 0
    await press(own_client, "/regions/us-east/resume")
    await all_ended(connection, seconds=5)


async def test_a_worker_enters_the_configured_pauses(fleet: Fleet, connection: Any) -> None:
    config = fleet.folder / "breakwater.toml"
    config.write_text("[regions.north]\npaused = true\n[regions.south]\n[providers.house]\ntype = 'echo'\n")
    fleet.start(2, CONFIG=config)
    rows = await connection.fetch("SELECT kind, name, is_paused, changed_by FROM pauses")
    entered = Counter(tuple(row) for row in rows)
    assert max(entered.values()) == 1
    assert entered.keys() >= {
        ("region", "north", True, "configuration"),
        ("region", "south", False, "configuration"),
        ("provider", "house", False, "configuration"),
    }
