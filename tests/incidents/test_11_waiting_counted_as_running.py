"""Incident 11: a job timed out after ten minutes, nine of which it had waited in the queue."""

from datetime import datetime, timedelta
from typing import Any

from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, attempts
from tests.support.service import Client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


async def test_a_call_has_its_whole_timeout_however_long_it_waited(fleet: Fleet, connection) -> None:
    """One call at a time, each shorter than the timeout; the last has waited for several times as long."""
    fleet.start(ECHO_DELAY_SECONDS=0.2, WORKER_CONCURRENCY=1)
    await publish_envelopes(
        fleet.redis_url, await store_jobs(connection, [job_body(questions=8, policy={"timeout_seconds": 0.5})])
    )
    await all_ended(connection)
    assert await attempts(connection) == {("completed", 1): 8}
    waited = await connection.fetchval(
        "SELECT extract(EPOCH FROM max(e.started_at) - min(j.queued_at))::float8 FROM executions AS e JOIN jobs AS j"
        " USING (job_no)"
    )
    assert waited > 1
    await assert_audit(connection)


async def post(client: Client, **policy: Any) -> str:
    answer = await client.post(unique(policy=policy))
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


async def shown(client: Client, at: str) -> Any:
    return (await client.http.get(at)).json()


async def ended(client: Client, at: str) -> Any:
    async def look() -> bool:
        return (await shown(client, at))["finished_at"] is not None

    await eventually_async(look, what="it ended")
    return await shown(client, at)


CALL = timedelta(seconds=0.3)
"""What a call takes at least: an event loop's timer may come a millisecond early."""


def since(earlier: str, later: str) -> timedelta:
    return datetime.fromisoformat(later) - datetime.fromisoformat(earlier)


async def waited(client: Client, at: str, seconds: float) -> None:
    async def look() -> bool:
        return bool((await shown(client, at))["queue"]["waited_seconds"] > seconds)

    await eventually_async(look, what=f"it waited {seconds} s")


async def test_a_job_shows_its_wait_apart_from_its_run(fleet: Fleet, connection: Any, own_client: Client) -> None:
    at = await post(own_client, timeout_seconds=0.5)
    await waited(own_client, at, 1)
    assert (await shown(own_client, at))["queue"]["position"] == 1
    fleet.start(ECHO_DELAY_SECONDS=0.31)
    job = await ended(own_client, at)
    assert (job["status"], job["queue"]) == ("completed", None)
    assert since(job["queued_at"], job["first_started_at"]) > timedelta(seconds=1)
    assert since(job["first_started_at"], job["finished_at"]) >= CALL
    (cell,) = (await shown(own_client, f"{at}/executions"))["items"]
    assert cell["attempts"] == 1
    assert since(cell["started_at"], cell["finished_at"]) >= CALL
    await assert_audit(connection)


async def test_a_job_past_its_queue_timeout_fails_with_that_code(
    fleet: Fleet, connection: Any, own_client: Client
) -> None:
    at = await post(own_client, queue_timeout_seconds=0.2)
    await waited(own_client, at, 0.2)
    fleet.start()
    job = await ended(own_client, at)
    assert (job["status"], job["error"]["code"]) == ("failed", "queue_timeout")
    assert job["queue"] is None
