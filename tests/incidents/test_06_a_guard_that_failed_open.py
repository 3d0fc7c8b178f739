"""Incident 6: the guard against duplicates compared an int with a text; its own error was read as "no duplicates".

Here a check that can't run means stop: no call is made until it has run, and nothing is lost meanwhile.
"""

import pytest

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.provider_server import ProviderServer
from tests.support.waiting import eventually
from tests.support.workers import Fleet

BROKEN = {
    "the check of the lease before a call": ("holder", "at_most_once"),
    "the count of calls in flight": ("slots", "at_least_once"),
}


@pytest.mark.parametrize(("column", "delivery"), BROKEN.values(), ids=BROKEN)
async def test_a_check_that_cannot_run_stops_the_guarded_work(
    fleet: Fleet, connection, provider: ProviderServer, column: str, delivery: str
) -> None:
    """The check reads a column that isn't there; the worker stops and says so, and the next one does the work."""
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    (worker,) = fleet.start(CONFIG=config)
    await connection.execute(f"ALTER TABLE batches RENAME COLUMN {column} TO gone")
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=3, policy={"delivery": delivery})])
    )
    eventually(lambda: not worker.is_alive, what="the worker met the broken check")
    assert column in worker.output.read_text()
    assert provider.calls == []
    await connection.execute(f"ALTER TABLE batches RENAME COLUMN gone TO {column}")
    fleet.start(CONFIG=config)
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 3}
    assert len(provider.calls) == 3
    await assert_audit(connection)
