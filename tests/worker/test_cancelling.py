"""Work whose lease was lost stops soon: pushed by a notice, and found within two seconds without one."""

import time

import pytest

from broker import notices
from broker.notices import Notice
from tests.support.connections import broker_client, publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.provider_server import ProviderServer, answer, held
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

TAKE_AWAY = """
UPDATE batches SET status = 'pending', fence = fence + 1, holder = NULL, lease_until = NULL, slots = 0
WHERE status = 'running'
"""


@pytest.mark.parametrize(("is_pushed", "seconds"), [(True, 1.0), (False, 4.0)], ids=["pushed", "found"])
async def test_calls_of_a_lease_that_is_gone_are_hung_up(
    fleet: Fleet, connection, provider: ProviderServer, *, is_pushed: bool, seconds: float
) -> None:
    """The heartbeat comes after a minute, so it isn't what finds out."""
    provider.behave = held(answer())
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config())
    slow = {"LEASE_SECONDS": 200, "HEARTBEAT_SECONDS": 60, "RECONCILE_SECONDS": 60}
    (worker,) = fleet.start(CONFIG=config, **slow)
    (job_no,) = await store_jobs(connection, [job_body(questions=5)])
    await publish_envelopes(fleet.redis_url, [job_no])
    eventually(lambda: provider.in_flight == 5, what="all are asked")
    await connection.execute(TAKE_AWAY)
    await connection.execute("DELETE FROM ready")
    started = time.monotonic()
    if is_pushed:
        async with broker_client(fleet.redis_url) as client:
            await notices.publish(client, Notice("cancelled", job_no))
    eventually(lambda: provider.in_flight == 0, what="the calls are hung up")
    assert time.monotonic() - started < seconds
    assert all(call.is_abandoned for call in provider.calls)
    worker.wait_for("lease_gone", job_no=job_no)


async def test_a_worker_whose_listening_connection_is_cut_listens_anew(fleet: Fleet) -> None:
    """Others may listen on the same server; what the worker opened is what came after it was started."""
    async with broker_client(fleet.redis_url) as client:
        others = {connected["id"] for connected in await client.client_list(_type="pubsub")}

        async def listener() -> str | None:
            own = {connected["id"] for connected in await client.client_list(_type="pubsub")} - others
            return own.pop() if own else None

        (worker,) = fleet.start()
        before = await eventually_async(listener, what="it listens")
        others.add(before)
        await client.client_kill_filter(_id=before)
        await eventually_async(listener, what="it listens again")
    assert worker.is_alive
