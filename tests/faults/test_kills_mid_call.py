"""Workers killed between the start of calls and their ends: what at_most_once and at_least_once promise, as counted by
the provider.
"""

import sys
from collections import defaultdict

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.provider_server import ProviderServer, after, answer
from tests.support.waiting import eventually
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 0.8, "HEARTBEAT_SECONDS": 0.15, "RECONCILE_SECONDS": 0.2}
LIMIT = 12
AT_ONCE = 10
"""Calls that are in flight at least when a worker is killed."""


async def run_under_kills(
    fleet: Fleet, connection, provider: ProviderServer, *, kills: int, questions: int, delivery: str
) -> None:
    """Run one job to its end while its only worker is killed again and again in the middle of calls."""
    provider.behave = after(0.15, answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=LIMIT))
    (worker,) = fleet.start(CONFIG=config, **QUICK)
    jobs = await store_jobs(connection, [job_body(models=3, questions=questions, policy={"delivery": delivery})])
    await publish_envelopes(fleet.redis_url, jobs)
    for _ in range(kills):
        target = answered(provider) + LIMIT // 2
        eventually(
            lambda target=target: answered(provider) >= target and provider.in_flight >= AT_ONCE,
            seconds=20,
            what="some calls are answered, others in flight",
        )
        worker.kill()
        eventually(lambda: provider.in_flight == 0, what="its calls are over")
        (worker,) = fleet.start(CONFIG=config, **QUICK)
    await all_ended(connection, seconds=60)
    await assert_audit(connection)


def answered(provider: ProviderServer) -> int:
    """How many calls were answered in full."""
    return sum(call.status == 200 for call in list(provider.calls))


async def show_at_most_once(fleet: Fleet, connection, provider: ProviderServer, *, kills: int, questions: int) -> int:
    """Return how many cells became unknown, once it is shown that none was called twice."""
    await run_under_kills(fleet, connection, provider, kills=kills, questions=questions, delivery="at_most_once")
    found = await attempts(connection)
    assert set(found) == {("completed", 1), ("unknown", 1)}
    assert max(provider.counts().values()) == 1
    assert answered(provider) >= found["completed", 1]
    abandoned = {(call.model, call.question) for call in provider.calls if call.status == 0}
    rows = await connection.fetch(
        """
        SELECT s.model_ids[e.model_no + 1] AS model, s.spec -> 'questions' -> e.question_no::int ->> 'text' AS question
        FROM executions AS e
        JOIN specs AS s USING (job_no)
        WHERE e.status = 'unknown'
        """
    )
    assert abandoned <= {tuple(row) for row in rows}, "whatever was cut off is unknown"
    late = await connection.fetchval(
        "SELECT count(*) FROM executions WHERE status = 'unknown' AND started_at > finished_at - interval '50 ms'"
    )
    assert late == 0, "a call began when its mark says, not when it was found"
    codes = await connection.fetch(
        "SELECT DISTINCT error_code, error_retryable FROM executions WHERE status = 'unknown'"
    )
    assert [tuple(row) for row in codes] == [("call_interrupted", False)]
    sys.stdout.write(f"{kills} kills, {found['unknown', 1]} cells unknown, {len(provider.calls)} calls, none twice\n")
    return found["unknown", 1]


async def show_at_least_once(fleet: Fleet, connection, provider: ProviderServer, *, kills: int, questions: int) -> None:
    """Show that every cell completes, that no kill counts as an attempt, and that repeated calls carry one key."""
    await run_under_kills(fleet, connection, provider, kills=kills, questions=questions, delivery="at_least_once")
    assert await attempts(connection) == {("completed", 1): 3 * questions}
    keys = defaultdict(set)
    for call in provider.calls:
        keys[call.model, call.question].add(call.key)
    assert all(len(of_cell) == 1 for of_cell in keys.values())
    again = len(provider.calls) - 3 * questions
    assert 0 < again <= 2 * kills * LIMIT, "those in flight, and those whose answers weren't recorded yet"
    sys.stdout.write(
        f"{kills} kills, every cell completed at its first attempt, {again} calls repeated under their key\n"
    )


async def test_at_most_once_never_calls_twice_though_workers_are_killed(fleet: Fleet, connection, provider) -> None:
    assert await show_at_most_once(fleet, connection, provider, kills=3, questions=60) >= 3 * AT_ONCE // 2


async def test_at_least_once_completes_every_cell_though_workers_are_killed(fleet: Fleet, connection, provider) -> None:
    await show_at_least_once(fleet, connection, provider, kills=3, questions=60)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_at_most_once_over_twenty_four_kills(fleet: Fleet, connection, provider) -> None:
    assert await show_at_most_once(fleet, connection, provider, kills=24, questions=200) >= 200


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_at_least_once_over_twenty_four_kills(fleet: Fleet, connection, provider) -> None:
    await show_at_least_once(fleet, connection, provider, kills=24, questions=200)
