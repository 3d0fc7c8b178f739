"""Incident 27: each of two jobs kept to its own six calls at once, and together they had twelve of ten."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer
from tests.support.workers import Fleet


async def test_the_limit_of_a_provider_holds_over_all_jobs_and_workers(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = after(0.05, answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=10))
    fleet.start(3, CONFIG=config)
    jobs = [job_body(questions=50, policy={"max_concurrent": 6})] * 2
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, jobs))
    await all_ended(connection)
    assert provider.peak == 10
    await assert_audit(connection)
