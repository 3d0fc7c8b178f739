"""Workers and real providers: what the configuration names is called, and what it no longer names fails as a job."""

from tests.fleet import Fleet, all_ended, assert_audit, attempts, body, ring, seed, tallied
from tests.provider_server import ProviderServer


def write_config(fleet: Fleet, text: str) -> str:
    path = fleet.folder / "breakwater.toml"
    path.write_text(text)
    return str(path)


async def test_each_cell_is_asked_once_in_its_region(fleet: Fleet, connection, provider: ProviderServer) -> None:
    config = write_config(fleet, provider.config(regions=("us-east", "eu-west"), max_concurrent=4))
    fleet.start(2, CONFIG=config)
    await ring(fleet.redis_url, await seed(connection, [body(models=2, regions=2, questions=10)] * 2))
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


async def test_what_nobody_serves_any_more_fails_as_one_job(fleet: Fleet, connection, provider: ProviderServer) -> None:
    fleet.start(CONFIG=write_config(fleet, provider.config(regions=("us-east",))))
    vanished = {**body(questions=3), "models": [{"id": "m", "provider": "vanished"}]}
    bodies = [body(questions=3), body(questions=3, regions=2), vanished]
    served, region_gone, provider_gone = await seed(connection, bodies)
    await ring(fleet.redis_url, [served, region_gone, provider_gone])
    await all_ended(connection)
    rows = await connection.fetch("SELECT job_no, status, error_code, error_detail FROM jobs")
    ended = {row["job_no"]: (row["status"], row["error_code"]) for row in rows}
    assert ended == {
        served: ("completed", None),
        region_gone: ("failed", "region_not_served"),
        provider_gone: ("failed", "provider_not_configured"),
    }
    details = {row["job_no"]: row["error_detail"] for row in rows}
    assert "eu-west" in details[region_gone]
    assert "vanished" in details[provider_gone]
    assert len(provider.calls) == 3
    assert await connection.fetchval("SELECT count(*) FROM executions WHERE job_no <> $1", served) == 0
    assert await tallied(connection, "breakwater_coordination", outcome="failed") == 2
    await assert_audit(connection)
