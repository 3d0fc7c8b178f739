"""Incident 26: a retry went to the end of the queue, 182 s instead of 32; elsewhere new jobs starved old ones."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer, by_model, in_turn, refuse
from tests.support.waiting import eventually
from tests.support.workers import Fleet


async def test_neither_a_retry_nor_an_old_job_waits_for_all_the_others(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """A job whose first call fails shares one permit with a hundred cells that were there before, and others later."""
    provider.behave = by_model({"retried": in_turn(refuse(500), answer())}, after(0.02, answer()))
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=1))
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=["old"], questions=100)]))
    eventually(lambda: len(provider.calls) >= 3, what="the old job runs")
    later = [job_body(models=["retried"]), *[job_body(models=[f"new-{n}"], questions=10) for n in range(10)]]
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, later))
    await all_ended(connection, seconds=60)
    asked = [call.model for call in provider.calls]
    first, second = (place for place, model in enumerate(asked) if model == "retried")
    assert first < 20
    assert second < len(asked) * 0.6, "the retry came long before the end"
    assert asked.index("old") < 1 < max(place for place, model in enumerate(asked) if model == "new-9")
    middle = asked[: len(asked) // 2]
    assert middle.count("old") > 5, "the old job goes on beside the new ones"
    await assert_audit(connection)
