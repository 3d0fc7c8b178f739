"""Calls in flight, as the provider counts them: never past a limit, over all workers and jobs."""

import sys

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer, by_model, held, once, refuse
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

CALL_SECONDS = 0.1
LIMIT = 10


def configure(fleet: Fleet, provider: ProviderServer, **settings: object) -> str:
    path = fleet.folder / "breakwater.toml"
    path.write_text(provider.config(**settings))
    return str(path)


async def test_a_jobs_own_limit_holds_over_workers_and_regions(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = after(0.02, answer())
    fleet.start(2, CONFIG=configure(fleet, provider, regions=("us-east", "eu-west"), max_concurrent=LIMIT))
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=40, regions=2, policy={"max_concurrent": 3})])
    )
    await all_ended(connection)
    assert provider.peak == 3
    await assert_audit(connection)


async def test_each_region_has_a_limit_of_its_own(fleet: Fleet, connection, provider: ProviderServer) -> None:
    provider.behave = after(0.05, answer())
    fleet.start(CONFIG=configure(fleet, provider, regions=("us-east", "eu-west"), max_concurrent=4))
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=40, regions=2)]))
    await all_ended(connection)
    assert provider.peak == 8
    await assert_audit(connection)


@pytest.mark.quiet
async def test_a_small_job_does_not_wait_behind_a_large_one(fleet: Fleet, connection, provider: ProviderServer) -> None:
    """10,000 cells of 0.1 s at ten at once would take 100 s; the one cell that comes after them is done in two."""
    provider.behave = after(CALL_SECONDS, answer())
    fleet.start(2, CONFIG=configure(fleet, provider, max_concurrent=LIMIT))
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=50, questions=200)]))
    eventually(lambda: len(provider.calls) > 50, what="the large job runs")
    (small,) = await store_jobs(connection, [job_body(name="small")])
    await publish_envelopes(fleet.redis_url, [small])

    async def seconds() -> float | None:
        return await connection.fetchval(
            "SELECT extract(EPOCH FROM finished_at - queued_at)::float8 FROM jobs WHERE job_no = $1", small
        )

    took = await eventually_async(seconds, what="the small job ended")
    sys.stdout.write(f"one cell behind 10,000: {took:.2f} s\n")
    assert took < 2
    assert provider.peak == LIMIT


async def test_slow_calls_give_way_after_each_of_them(fleet: Fleet, connection, provider: ProviderServer) -> None:
    """A batch of ten cells over the worker's only call would keep it for ten calls; the small job gets it after one."""
    provider.behave = after(0.7, answer())
    fleet.start(CONFIG=configure(fleet, provider, max_concurrent=10), WORKER_CONCURRENCY=1)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=10)]))
    eventually(lambda: len(provider.calls) >= 1, what="the large job runs")
    (small,) = await store_jobs(connection, [job_body(models=["small"])])
    await publish_envelopes(fleet.redis_url, [small])
    await eventually_async(
        lambda: connection.fetchval("SELECT count(*) FROM batches WHERE job_no = $1", small),
        what="the small one is planned",  # it may be asked at once, so that nobody sees it among the ready ones
    )
    before = len(provider.calls)
    eventually(lambda: any(call.model == "small" for call in provider.calls), seconds=20, what="the small one is asked")
    assert [call.model for call in provider.calls].index("small") <= before + 1


@pytest.mark.quiet
async def test_first_runs_go_before_retries(fleet: Fleet, connection, provider: ProviderServer) -> None:
    """Half the calls fail for ever: what is tried again doesn't hold up what was never tried."""
    provider.behave = by_model({"model-0": after(0.02, refuse(500))}, after(0.02, answer()))
    fleet.start(CONFIG=configure(fleet, provider, max_concurrent=2))
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=60, policy={"max_attempts": 20})])
    )
    eventually(lambda: len(provider.calls) >= 60, what="the failing job runs")
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(name="first run", models=2, questions=20)])
    )
    eventually(
        lambda: sum(call.model == "model-1" for call in provider.calls) == 20, seconds=20, what="first runs are asked"
    )
    start = next(n for n, call in enumerate(provider.calls) if call.model == "model-1")
    end = max(n for n, call in enumerate(provider.calls) if call.model == "model-1")
    assert end - start <= 3 * 40, "retries beside them, not instead of them"


@pytest.mark.quiet
async def test_calls_that_become_free_reach_a_batch_that_runs(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """It got the one call that was left; the others end soon, elsewhere, while its own takes long."""
    asked = once(lambda: any(call.model == "slow" for call in provider.calls), after(0.5, answer()))
    provider.behave = by_model({"slow": held(answer())}, asked)
    config = configure(fleet, provider, max_concurrent=5)
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=4)]))
    eventually(lambda: provider.in_flight == 4, what="four of five calls are taken")
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=["slow"], questions=4)]))
    eventually(lambda: sum(call.model == "slow" for call in provider.calls) == 4, seconds=5, what="all four are asked")
    assert provider.peak == 5
    provider.release()
    await all_ended(connection)
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE slots > 0") == 0
    await assert_audit(connection)


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
async def test_a_batch_that_is_released_while_it_is_offered_more_calls_nothing_twice(
    fleet: Fleet, connection, provider: ProviderServer, delivery: str
) -> None:
    """Its last call ends just after others have freed theirs, so that a claim offers it what it gives back."""
    fleet.start(CONFIG=configure(fleet, provider, max_concurrent=6))
    for n in range(6):
        provider.behave = by_model({"late": after(0.604 + 0.004 * n, answer())}, after(0.6, answer()))
        policy = {"delivery": delivery}
        jobs = [job_body(models=["first"], questions=5), job_body(models=["late"], questions=6, policy=policy)]
        await publish_envelopes(fleet.redis_url, await store_jobs(connection, jobs))
        await all_ended(connection)
    assert len(provider.calls) == len(set(provider.keys())) == 66
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE status <> 'completed'") == 0
    assert provider.peak == 6
    await assert_audit(connection)
