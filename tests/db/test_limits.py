"""Limits of calls in flight: counted under a lock, so that claims at the same moment never grant the same room."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from db import batches, cancelling, circuit_breakers, claiming, results, retrying
from db.batches import Claim, Claimant, ClaimedBatch
from db.circuit_breakers import Refusal
from db.controls import Actor
from db.engine import Connection, Engine, create_engine, in_transaction
from db.kinds import RetryFilter
from db.results import BatchReport, CellsAlreadyTerminal, EndedCell
from db.tenants import DEFAULT_TENANT_NO
from tests.support.configurations import CONFIGURATION_NO, POOLS
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import assert_audit
from tests.support.planned_batches import answered, plan_queued

POOL, OTHER_POOL = ("echo", "us-east"), ("echo", "eu-west")
FLIGHT = "SELECT coalesce(sum(slots), 0)::int FROM batches"

LEASES_RAN_OUT = "UPDATE batches SET lease_until = now() - interval '1 s' WHERE status = 'running'"
HINT = """
INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
SELECT b.job_no, b.batch_no, b.provider, b.region, b.identity_no, 1, b.cells, 0
FROM batches AS b
WHERE b.status = 'running'
"""
GATE_SECONDS = "SELECT extract(EPOCH FROM gate_until - now())::float8 FROM pools WHERE region = 'us-east'"
GATE_IS_OVER = "UPDATE pools SET gate_until = now() - interval '1 ms' WHERE gate_code IS NOT NULL"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=8, pinned_plans=True)
    yield engine
    await engine.dispose()


async def ready(
    connection: Connection, *, jobs: int = 1, batch_cells: int = 3, questions: int = 30, regions: int = 1, **policy
) -> None:
    """Jobs whose batches are due; their limits are entered with their plans."""
    async with connection.transaction():
        await store_jobs(connection, [job_body(questions=questions, regions=regions, policy=policy)] * jobs)
        await plan_queued(connection, batch_cells=batch_cells, is_claimed=False)


async def limit(connection: Connection, most: int | None) -> None:
    await batches.enter_pools(connection, {POOL: most, OTHER_POOL: most})


async def take(engine: Engine, *, calls: int = 100, holder: int = 1, pool: tuple[str, str] = POOL) -> Claim:
    claimant = Claimant(holder, 1, 60, CONFIGURATION_NO)
    return await in_transaction(engine, lambda c: claiming.claim_calls(c, {pool: POOLS[pool]}, claimant, calls=calls))


async def end(engine: Engine, batch: ClaimedBatch) -> None:
    await in_transaction(engine, lambda c: results.record(c, [answered(batch)], source="a test"))


async def test_a_claim_grants_as_many_calls_as_the_pool_has_room_for(engine, connection) -> None:
    await ready(connection)
    await limit(connection, 10)
    assert [batch.permits for batch in (await take(engine)).batches] == [3, 3, 3, 1]
    assert (await take(engine)).batches == []


async def test_eight_claimers_at_once_never_pass_the_limit(engine, connection) -> None:
    """Each holds what it got for a moment and ends it; the sum is looked at by every one of them."""
    await ready(connection, jobs=30, questions=10, batch_cells=2)
    await limit(connection, 7)
    seen: list[int] = []

    async def work(holder: int) -> None:
        dice = random.Random(holder)
        while claimed := (await take(engine, calls=dice.randint(1, 5), holder=holder)).batches:
            seen.append(await connection_flight(engine))
            for batch in claimed:
                await end(engine, batch)

    while await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL"):
        await asyncio.gather(*(work(holder) for holder in range(8)))
    assert 5 < max(seen) <= 7, "more than one claimer's share, and never past the limit"
    await assert_audit(connection)


async def connection_flight(engine: Engine) -> int:
    flight: int = await in_transaction(engine, lambda c: c.fetchval(FLIGHT))
    return flight


async def test_a_jobs_own_limit_holds_over_claims_and_lets_others_pass(engine, connection) -> None:
    await ready(connection, max_concurrent=4)
    await ready(connection)
    await limit(connection, None)
    claimed = (await take(engine)).batches
    by_job = {job_no: sum(b.permits for b in claimed if b.job_no == job_no) for job_no in {b.job_no for b in claimed}}
    assert sorted(by_job.values()) == [4, 24]
    assert (await take(engine)).batches == []


async def test_claims_of_a_limited_job_at_once_never_pass_its_limit(engine, connection) -> None:
    """Claims of several pools don't wait for each other's pools; the job's own lock is what they share."""
    await ready(connection, questions=60, regions=2, batch_cells=1, max_concurrent=3)
    await limit(connection, None)
    seen: list[int] = []

    async def work(holder: int) -> None:
        while claimed := (await take(engine, holder=holder, pool=(POOL, OTHER_POOL)[holder % 2])).batches:
            seen.append(await connection_flight(engine))
            for batch in claimed:
                await end(engine, batch)

    while await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL"):
        await connection.execute(
            "INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)"
            " SELECT job_no, batch_no, provider, region, identity_no, 1, cells, 0 FROM batches"
            " WHERE status = 'pending'"
            " ON CONFLICT DO NOTHING"
        )
        await asyncio.gather(*(work(holder) for holder in range(8)))
    assert max(seen) == 3
    await assert_audit(connection)


async def test_calls_under_a_lease_that_ran_out_are_counted_until_their_batch_is_taken_over(engine, connection) -> None:
    """Its holder may live and renew it: permits granted meanwhile would be granted twice."""
    await ready(connection, jobs=2, questions=5, batch_cells=5)
    await limit(connection, 5)
    (held,) = (await take(engine)).batches
    await connection.execute(LEASES_RAN_OUT)
    assert (await take(engine)).batches == []
    await in_transaction(engine, lambda c: batches.renew(c, [held], 60))
    assert await connection.fetchval(FLIGHT) == 5
    await connection.execute(LEASES_RAN_OUT)
    await connection.execute(HINT)
    (taken,) = (await take(engine)).batches
    assert (taken.job_no, taken.permits, taken.was_lost) == (held.job_no, 5, True)
    assert await connection.fetchval(FLIGHT) == 5


async def test_a_pool_that_dead_workers_filled_is_probed_all_the_same(engine, connection) -> None:
    await ready(connection, questions=6, batch_cells=3)
    await limit(connection, 6)
    assert len((await take(engine)).batches) == 2
    await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 60)])
    await connection.execute(GATE_IS_OVER)
    await connection.execute(LEASES_RAN_OUT)
    await connection.execute(HINT)
    (probe,) = (await take(engine)).batches
    assert (probe.permits, probe.is_probe) == (1, True)


async def test_a_probe_whose_lease_was_released_leaves_the_pool_to_the_next(engine, connection) -> None:
    await ready(connection, jobs=2)
    await limit(connection, 10)
    await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 60)])
    await connection.execute(GATE_IS_OVER)
    (probe,) = (await take(engine)).batches
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", probe.job_no)
    await in_transaction(engine, lambda c: cancelling.cancel(c, DEFAULT_TENANT_NO, job_id, Actor("a test", None, 1)))
    (next_probe,) = (await take(engine)).batches
    assert next_probe.is_probe


async def test_a_refusal_under_a_lease_that_is_gone_opens_the_circuit_breaker(engine, connection) -> None:
    await ready(connection)
    await limit(connection, 10)
    batch, *_ = (await take(engine)).batches
    await connection.execute("UPDATE batches SET fence = fence + 1")
    late = BatchReport(batch, is_released=True, refusal=Refusal(*POOL, "rate_limited", "Slow down.", 60))
    recorded = await in_transaction(engine, lambda c: results.record(c, [late], source="a test"))
    assert recorded.written == []
    assert await connection.fetchval(GATE_SECONDS) == pytest.approx(60, abs=5)


async def test_a_circuit_breaker_opens_for_a_second_at_least(connection) -> None:
    await limit(connection, 10)
    await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 0.001)])
    assert await connection.fetchval(GATE_SECONDS) == pytest.approx(1, abs=0.5)


async def test_a_new_pool_does_not_starve_one_that_is_far_on(engine, connection) -> None:
    """Virtual finish times are of one pool: those of a new pool start low, and stay low for long."""
    await limit(connection, 50)
    await ready(connection, questions=100, batch_cells=5)
    await connection.execute("UPDATE ready SET turn = turn + 100000")
    async with connection.transaction():
        await store_jobs(connection, [{**job_body(questions=100), "regions": ["eu-west"]}])
        await plan_queued(connection, batch_cells=5, is_claimed=False)
    regions = set()
    for holder in range(20):
        claimant = Claimant(holder, 1, 60, CONFIGURATION_NO)
        claim = await in_transaction(
            engine, lambda c, claimant=claimant: claiming.claim_calls(c, POOLS, claimant, calls=5)
        )
        regions |= {batch.region for batch in claim.batches}
        for batch in claim.batches:
            await end(engine, batch)
    assert regions == {"us-east", "eu-west"}


async def test_a_job_at_its_limit_does_not_hold_up_another_limited_one(engine, connection) -> None:
    await limit(connection, None)
    await ready(connection, max_concurrent=1)
    assert len((await take(engine)).batches) == 1
    await ready(connection, max_concurrent=5)
    (other,) = (await take(engine, calls=1)).batches
    assert other.permits == 1


async def test_a_failure_whose_commit_was_not_confirmed_is_not_written_over_a_retry(engine, connection) -> None:
    await ready(connection, questions=4, batch_cells=4)
    await limit(connection, 10)
    (batch,) = (await take(engine)).batches
    failure = EndedCell(
        *(batch.job_no, batch.region_no, batch.model_nos[0], batch.question_nos[0]),
        *(batch.planned_us, batch.planned_us + 1, "echo", None, "provider_refused", "No."),
        error_retryable=False,
        status="failed",
        attempts_before=0,
    )

    async def flush(connection: Connection) -> None:
        await results.record(connection, [BatchReport(batch, ended=[failure])], source="a test")

    await in_transaction(engine, flush)
    job_id = await connection.fetchval("SELECT id FROM jobs")
    pressed = Actor("a test", None, 1)
    await in_transaction(engine, lambda c: retrying.retry_job(c, DEFAULT_TENANT_NO, job_id, RetryFilter(), pressed))
    with pytest.raises(CellsAlreadyTerminal):
        await in_transaction(engine, flush)
    assert len(await results.recorded_cells(connection, [BatchReport(batch, ended=[failure])])) == 1
    cell = await connection.fetchrow("SELECT status, attempts FROM executions WHERE question_no = 0")
    assert tuple(cell) == ("planned", 1)


async def test_a_flush_gives_back_the_calls_that_came_to_an_end(engine, connection) -> None:
    await ready(connection, questions=5, batch_cells=5)
    await limit(connection, 5)
    (batch,) = (await take(engine)).batches
    part = answered(batch)
    part.is_released = False
    part.completed, part.freed_permits = part.completed[:2], 2
    await in_transaction(engine, lambda c: results.record(c, [part], source="a test"))
    assert await connection.fetchval(FLIGHT) == 3


async def test_an_open_circuit_breaker_keeps_calls_back_and_then_lets_one_through(engine, connection) -> None:
    await ready(connection)
    await limit(connection, 10)
    await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 60)])
    assert (await take(engine)).batches == []
    assert await batches.next_due_seconds(connection, None) == pytest.approx(60, abs=5)
    await connection.execute(GATE_IS_OVER)
    (probe,) = (await take(engine)).batches
    assert (probe.permits, probe.is_probe) == (1, True)
    assert (await take(engine)).batches == []
    await circuit_breakers.reset_probed(connection, [POOL])
    assert sum(batch.permits for batch in (await take(engine)).batches) == 9


async def test_without_a_wait_from_the_provider_a_circuit_breaker_opens_for_longer_after_each_probe(connection) -> None:
    await limit(connection, 10)
    refusal = Refusal(*POOL, "billing_limit", "Pay first.", None)
    waits = []
    for is_probed in [False] + [True] * 9:
        await circuit_breakers.trip(connection, [refusal, replace(refusal, by_probe=is_probed), refusal])
        await circuit_breakers.trip(connection, [refusal])  # the rest of the same burst
        waits.append(await connection.fetchval(GATE_SECONDS))
        await connection.execute(GATE_IS_OVER)
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30], abs=0.2)


async def test_claimers_at_the_same_moment_send_one_probe(engine, connection) -> None:
    await ready(connection, jobs=8)
    await limit(connection, 10)
    for _ in range(10):
        await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 60)])
        await connection.execute(GATE_IS_OVER)
        claims = await asyncio.gather(*(take(engine, holder=holder) for holder in range(1, 9)))
        (probe,) = [batch for claim in claims for batch in claim.batches]
        assert (probe.permits, probe.is_probe) == (1, True)
        await end(engine, probe)


async def test_a_batch_whose_probe_was_let_through_holds_up_no_later_one(engine, connection) -> None:
    """Its further calls may be out for minutes when the circuit breaker opens again."""
    await ready(connection, jobs=2)
    await limit(connection, 10)
    refusal = Refusal(*POOL, "rate_limited", "Slow down.", None)
    await circuit_breakers.trip(connection, [refusal])
    await connection.execute(GATE_IS_OVER)
    (probe,) = (await take(engine)).batches
    first = answered(probe)
    first.completed, first.is_released, first.resets_breaker = first.completed[:1], False, True
    await in_transaction(engine, lambda c: results.record(c, [first], source="a test"))
    await circuit_breakers.trip(connection, [refusal])
    await connection.execute(GATE_IS_OVER)
    (later_probe,) = (await take(engine, holder=2)).batches
    assert (later_probe.permits, later_probe.is_probe) == (1, True)


async def test_calls_from_before_the_circuit_breaker_opened_make_no_pause_longer(connection) -> None:
    """Ten calls in flight are refused one after the other, each when the pause of the one before is over."""
    await limit(connection, 10)
    refusal = Refusal(*POOL, "rate_limited", "Slow down.", None)
    for _ in range(10):
        await circuit_breakers.trip(connection, [refusal])
        await connection.execute(GATE_IS_OVER)
    assert await connection.fetchval("SELECT gate_times FROM pools WHERE region = 'us-east'") == 1
    await circuit_breakers.trip(connection, [replace(refusal, by_probe=True)])
    assert await connection.fetchval(GATE_SECONDS) == pytest.approx(0.5, abs=0.2)


async def test_calls_from_before_the_circuit_breaker_opened_may_say_more_of_how_long(connection) -> None:
    await limit(connection, 10)
    refusal = Refusal(*POOL, "rate_limited", "Slow down.", None)
    for seconds in (None, 20, 5, None):
        await circuit_breakers.trip(connection, [replace(refusal, seconds=seconds)])
    assert await connection.fetchval(GATE_SECONDS) == pytest.approx(20, abs=2)


async def test_a_passed_probe_forgets_how_long_the_pauses_had_grown(connection) -> None:
    await limit(connection, 10)
    refusal = Refusal(*POOL, "rate_limited", "Slow down.", None)
    for is_probed in [False] + [True] * 5:
        await circuit_breakers.trip(connection, [replace(refusal, by_probe=is_probed)])
        await connection.execute(GATE_IS_OVER)
    await circuit_breakers.reset_probed(connection, [POOL])
    await circuit_breakers.trip(connection, [refusal])
    assert await connection.fetchval(GATE_SECONDS) == pytest.approx(0.25, abs=0.2)


async def test_of_several_refusals_the_longest_counts(connection) -> None:
    await limit(connection, 10)
    for seconds in ([5, 40, None], [10]):
        await circuit_breakers.trip(
            connection, [Refusal(*POOL, "rate_limited", "Slow down.", wait) for wait in seconds]
        )
    left = await connection.fetchval(
        "SELECT extract(EPOCH FROM gate_until - now())::float8 FROM pools WHERE region = 'us-east'"
    )
    assert left == pytest.approx(40, abs=2)


@pytest.mark.parametrize(("kind", "name"), [("region", "us-east"), ("provider", "echo")])
async def test_claims_pass_over_paused_work(engine, connection, kind: str, name: str) -> None:
    await ready(connection)
    await limit(connection, 10)
    await connection.execute("UPDATE pauses SET is_paused = true WHERE kind = $1 AND name = $2", kind, name)
    claimant = Claimant(1, 1, 60, CONFIGURATION_NO)
    assert (await take(engine)).batches == []
    assert (await in_transaction(engine, lambda c: claiming.claim_cells(c, POOLS, claimant, cells=100))).batches == []
    await connection.execute("UPDATE pauses SET is_paused = false")
    assert (await take(engine)).batches


async def test_a_batch_that_did_not_begin_in_time_is_claimed_to_be_ended_despite_any_hold(engine, connection) -> None:
    await ready(connection, queue_timeout_seconds=5)
    await limit(connection, 10)
    await circuit_breakers.trip(connection, [Refusal(*POOL, "rate_limited", "Slow down.", 3600)])
    assert await batches.next_due_seconds(connection, None) == pytest.approx(5, abs=2)
    await connection.execute("UPDATE batches SET overdue_at = now() - interval '1 ms'")
    claimant = Claimant(1, 1, 60, CONFIGURATION_NO)
    overdue = await in_transaction(engine, lambda c: claiming.claim_overdue(c, claimant, "inference", limit=100))
    assert len(overdue) == 10
    assert all(batch.is_overdue and batch.permits == 0 for batch in overdue)


async def test_a_claim_to_end_a_batch_that_is_lost_is_repeated_and_the_cells_still_end(engine, connection) -> None:
    await ready(connection, questions=3, queue_timeout_seconds=5)
    await limit(connection, 10)
    await connection.execute("UPDATE batches SET overdue_at = now() - interval '1 ms'")
    claimant = Claimant(1, 1, 60, CONFIGURATION_NO)
    assert len(await in_transaction(engine, lambda c: claiming.claim_overdue(c, claimant, "inference", limit=100))) == 1
    assert await in_transaction(engine, lambda c: claiming.claim_overdue(c, claimant, "inference", limit=100)) == []
    await connection.execute(LEASES_RAN_OUT)
    (again,) = await in_transaction(engine, lambda c: claiming.claim_overdue(c, claimant, "inference", limit=100))
    assert again.is_overdue
    await connection.execute(LEASES_RAN_OUT)
    await connection.execute(HINT)
    (by_turn,) = (await take(engine)).batches
    assert by_turn.is_overdue


async def test_a_batch_that_began_is_never_overdue(engine, connection) -> None:
    await ready(connection, questions=3, queue_timeout_seconds=5)
    await limit(connection, 10)
    assert len((await take(engine)).batches) == 1
    assert await connection.fetchval("SELECT count(overdue_at) FROM batches") == 0
