"""Incident 16: the caller gave up at 150 s, the provider finished at 204 s, and the late result met the next round.

What must nest is checked at the start, the shortest limit of a call holds for all of it, and a late result is nobody's.
"""

import pytest

from runtime.errors import SettingError
from runtime.settings import load_settings
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.provider_server import ProviderServer, answer, held, in_turn
from tests.support.waiting import eventually
from tests.support.workers import Fleet

QUICK_LEASES = {"LEASE_SECONDS": 1, "HEARTBEAT_SECONDS": 0.2, "RECONCILE_SECONDS": 0.5}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("HEARTBEAT_SECONDS", "20", "set the heartbeat below 15, or the lease above 40"),
        ("RECONCILE_SECONDS", "31", "set it to 30 or less"),
    ],
)
def test_limits_that_do_not_nest_stop_the_process_with_the_remedy(monkeypatch, name, value, wanted) -> None:
    monkeypatch.setenv(f"BREAKWATER_{name}", value)
    with pytest.raises(SettingError, match=wanted):
        load_settings()


def test_a_provider_may_not_be_given_longer_than_any_policy_can(monkeypatch, tmp_path) -> None:
    path = tmp_path / "breakwater.toml"
    path.write_text("[providers.hybrid]\ntype = 'echo'\ntimeout_seconds = 100000")
    monkeypatch.setenv("BREAKWATER_CONFIG", str(path))
    with pytest.raises(SettingError, match=r"providers\.hybrid\.timeout_seconds .* at most 86400"):
        load_settings()


@pytest.mark.parametrize(("of_policy", "of_provider"), [(0.5, 300), (300, 0.5)], ids=["the policy's", "the provider's"])
async def test_the_shorter_limit_holds_and_the_late_answer_is_dropped(
    fleet: Fleet, connection, provider: ProviderServer, of_policy: float, of_provider: float
) -> None:
    provider.behave = in_turn(held(answer("late")), answer("in time"))
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(timeout_seconds=of_provider))
    fleet.start(CONFIG=config)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(policy={"timeout_seconds": of_policy})])
    )
    await all_ended(connection)
    provider.release()
    eventually(lambda: provider.in_flight == 0)
    assert await connection.fetchval("SELECT output FROM executions") == "in time"
    assert await attempts(connection) == {("completed", 2): 1}
    assert await connection.fetchval("SELECT error_code FROM attempts") == "timeout"
    first, second = provider.keys()
    assert first == second
    await assert_audit(connection)


async def test_a_late_result_neither_duplicates_nor_overwrites(
    fleet: Fleet, connection, provider: ProviderServer
) -> None:
    """A worker stands still in its call past its lease, another one completes the cell, then the first one goes on."""
    provider.behave = in_turn(held(answer("late")), answer("in time"))
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    (paused,) = fleet.start(CONFIG=config, **QUICK_LEASES)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    eventually(lambda: len(provider.calls) == 1)
    paused.pause()
    fleet.start(CONFIG=config, **QUICK_LEASES)
    await all_ended(connection)
    provider.release()
    eventually(lambda: provider.in_flight == 0)
    paused.go_on()

    # It hears of its lost lease from its heartbeat or from the flush of what came late, whichever is first.
    eventually(lambda: paused.events("lease_gone") or paused.events("duplicate_prevented", layer="fence"))
    paused.stop()
    assert await connection.fetchval("SELECT output FROM executions") == "in time"
    first, second = provider.keys()
    assert first == second
    await assert_audit(connection)
