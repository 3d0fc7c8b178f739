"""Workers and real providers: what the configuration names is called, and what it no longer names is held."""

import httpx2

from tests.support.configurations import commit_file
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.provider_server import ProviderServer, answer, by_model, in_turn, refuse, reset
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


def write_config(fleet: Fleet, text: str) -> str:
    path = fleet.folder / "breakwater.toml"
    path.write_text(text)
    return str(path)


async def test_each_cell_is_asked_once_in_its_region(fleet: Fleet, connection, provider: ProviderServer) -> None:
    config = write_config(fleet, provider.config(regions=("us-east", "eu-west"), max_concurrent=4))
    fleet.start(2, CONFIG=config)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(models=2, regions=2, questions=10)] * 2)
    )
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 80}
    assert len(provider.calls) == len(set(provider.keys())) == 80
    rows = await connection.fetch(
        """
        SELECT DISTINCT
            s.region_ids[x.region_no + 1] AS region,
            x.provider_used,
            split_part(x.output, ':', 1) = s.model_ids[x.model_no + 1] AS is_own
        FROM executions AS x
        JOIN specs AS s USING (job_no)
        """
    )
    assert {tuple(row) for row in rows} == {("us-east", "hybrid", True), ("eu-west", "hybrid", True)}
    assert {call.region for call in provider.calls} == {"us-east", "eu-west"}
    await assert_audit(connection)


async def test_work_of_removed_identities_is_held_and_the_rest_runs(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    both = provider.config(regions=("us-east", "eu-west")) + provider.config(name="vanishing")
    commit_file(fleet.database_url, write_config(fleet, both))
    vanishing = {**job_body(questions=3), "models": [{"id": "m", "provider": "vanishing"}]}
    served, region_gone, provider_gone = await store_jobs(
        connection, [job_body(questions=3), job_body(questions=3, regions=2), vanishing]
    )
    narrower = write_config(fleet, provider.config(regions=("us-east",)))
    assert commit_file(fleet.database_url, narrower).held.count == 2
    fleet.start(CONFIG=narrower, WORKER_CONCURRENCY=5)
    await publish_envelopes(fleet.redis_url, [served, region_gone, provider_gone])
    ended = "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL"
    await eventually_async(lambda: connection.fetchval(ended), seconds=20, what="what is served ends")
    await fleet_has_looked(fleet, connection)
    rows = await connection.fetch("SELECT job_no, status FROM jobs")
    assert {row["job_no"]: row["status"] for row in rows if row["job_no"] in (served, region_gone, provider_gone)} == {
        served: "completed",
        region_gone: "queued",
        provider_gone: "queued",
    }
    assert len(provider.calls) == 4
    commit_file(fleet.database_url, write_config(fleet, both))
    await all_ended(connection)
    assert await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'completed'") == 4
    await assert_audit(connection)


async def fleet_has_looked(fleet: Fleet, connection) -> None:
    """Wait until a job that came after all others has ended: its worker skipped those before it."""
    (last,) = await store_jobs(connection, [job_body(models=["last"])])
    await publish_envelopes(fleet.redis_url, [last])
    has_ended = "SELECT finished_at IS NOT NULL FROM jobs WHERE job_no = $1"
    await eventually_async(lambda: connection.fetchval(has_ended, last), seconds=20, what="the last job ends")


async def test_the_audit_counts_the_calls_that_the_provider_saw(
    fleet: Fleet, connection, provider: ProviderServer, start_api
) -> None:
    provider.behave = by_model(
        {
            "model-0": answer("four"),
            "model-1": refuse(500),
            "model-2": refuse(400),
            "model-3": reset(),
            "model-4": in_turn(refuse(503), answer("four")),
        }
    )
    fleet.start(CONFIG=write_config(fleet, provider.config(regions=("us-east",))))
    bodies = [job_body(models=5, questions=2), job_body(models=5, questions=2, policy={"delivery": "at_most_once"})]
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, bodies))
    await all_ended(connection)
    api = start_api(fleet.database_url, fleet.redis_url)
    async with httpx2.AsyncClient(base_url=api.url) as client:
        totals = (await client.get("/audit")).json()["totals"]
    assert (totals["holds"], totals["violations"]) == (True, [])
    assert totals["external_calls"] == totals["attempts"] == len(provider.calls) > 20
    assert ("unknown", 1) in await attempts(connection)
    await assert_audit(connection)
