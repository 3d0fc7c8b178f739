"""Incident 24: the retry of a call in Europe ran in the US: "any region may pick it up"."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, statuses
from tests.support.provider_server import ProviderServer, answer, by_model, in_turn, refuse, reset
from tests.support.workers import Fleet


async def test_every_try_of_a_cell_goes_to_its_own_region(fleet: Fleet, connection, provider: ProviderServer) -> None:
    provider.behave = by_model({"model-0": in_turn(refuse(500), reset(), answer())})
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(regions=("us-east", "eu-west")))
    fleet.start(2, CONFIG=config)
    spec = {**job_body(questions=6), "regions": ["EU"]}
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [spec]))
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}
    assert len(provider.calls) == 18
    assert {call.region for call in provider.calls} == {"eu-west"}
    await assert_audit(connection)


async def test_an_answer_from_elsewhere_is_no_answer(fleet: Fleet, connection, provider: ProviderServer) -> None:
    """It isn't asked again: it was paid for, and the router would send it there again."""
    provider.behave = answer(region="us-east")
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(regions=("us-east", "eu-west")))
    fleet.start(CONFIG=config)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [{**job_body(), "regions": ["eu-west"]}]))
    await all_ended(connection)
    cell = await connection.fetchrow("SELECT status, error_code, region_served, output FROM executions")
    assert tuple(cell) == ("failed", "region_mismatch", "us-east", None)
    assert len(provider.calls) == 1
    await assert_audit(connection)
