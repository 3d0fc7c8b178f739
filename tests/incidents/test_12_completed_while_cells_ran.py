"""Incident 12: a job was `completed` while a region still ran. A final status waits for the last cell."""

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import assert_audit, statuses
from tests.support.workers import Fleet

MOMENT = """
SELECT
    j.finished_at IS NOT NULL AS is_terminal,
    (SELECT count(*) FROM executions AS e WHERE e.finished_at IS NULL) AS open,
    (SELECT count(*) FROM executions) AS planned
FROM jobs AS j
"""


async def test_a_job_is_never_terminal_while_a_cell_is_open(fleet: Fleet, connection) -> None:
    fleet.start(2, ECHO_DELAY_SECONDS=0.05, WORKER_CONCURRENCY=3)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(models=2, regions=3, questions=6)]))
    seen = set()
    moment = await connection.fetchrow(MOMENT)
    while not moment["is_terminal"]:
        seen.add(moment["open"])
        moment = await connection.fetchrow(MOMENT)
    assert (moment["open"], moment["planned"]) == (0, 36)
    assert len(seen) > 3
    assert await statuses(connection) == {"completed": 1}
    await assert_audit(connection)
