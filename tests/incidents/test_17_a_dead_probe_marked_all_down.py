"""Incident 17: a health probe at a wrong path marked every provider as down for 90 minutes; everything failed.

There are no probes here: the calls themselves show what is down. An outage fails only what it met, with its cause.
"""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, statuses
from tests.support.provider_server import ProviderServer, answer, by_model, refuse, until_released
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_an_outage_fails_with_its_cause_and_is_over_when_it_is_over(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = by_model({"model-0": until_released(refuse(502, text="Bad gateway."), answer())})
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    other = job_body(models=["healthy"], questions=5)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=2), other]))
    await all_ended(connection)
    assert await statuses(connection) == {"failed": 1, "completed": 1}
    rows = await connection.fetch("SELECT DISTINCT error_code, error_detail FROM executions WHERE status = 'failed'")
    assert [row["error_code"] for row in rows] == ["provider_error"]
    assert "502" in rows[0]["error_detail"]
    assert {call.path for call in provider.calls} == {"/us-east/v1/chat/completions"}, "nothing but calls goes out"
    provider.release()
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=2)]))
    await all_ended(connection)
    assert await statuses(connection) == {"failed": 1, "completed": 2}
    await assert_audit(connection)


async def test_jobs_wait_while_the_provider_says_when_it_is_back(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    provider.behave = until_released(refuse(503, headers={"Retry-After": "1"}), answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    fleet.start(CONFIG=config)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=4, policy={"max_attempts": 1})])
    )

    async def is_closed() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM pools WHERE gate_code IS NOT NULL"))

    await eventually_async(is_closed, what="the circuit breaker is open")
    provider.release()
    await all_ended(connection)
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)
