"""A worker's way to PostgreSQL that goes silent: it costs seconds, and no call is made twice."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.connections import publish_envelopes
from tests.support.gateway import Gateway
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet


@pytest.mark.quiet
async def test_a_worker_goes_on_in_seconds_after_a_silence_and_makes_no_call_twice(
    gateway: Gateway, redis_url: str, connection, tmp_path: Path, provider: ProviderServer
) -> None:
    provider.behave = after(0.02, answer())
    config = tmp_path / "breakwater.toml"
    config.write_text(provider.config(max_concurrent=4))
    fleet = Fleet(gateway.url, redis_url, tmp_path)
    try:
        await asyncio.to_thread(fleet.start, CONFIG=config, HEARTBEAT_SECONDS=1)
        await publish_envelopes(redis_url, await store_jobs(connection, [job_body(models=2, questions=60)]))

        async def many_are_called() -> bool:
            return len(provider.calls) > 20

        await eventually_async(many_are_called)
        gateway.fall_silent()

        async def is_stuck() -> bool:
            before = len(provider.calls)
            await asyncio.sleep(0.3)
            return len(provider.calls) == before

        await eventually_async(is_stuck)
        gateway.heal()
        healed_at = time.monotonic()
        await all_ended(connection, seconds=20)
        assert time.monotonic() - healed_at < 15
        assert max(provider.counts().values()) == 1
        await assert_audit(connection)
    finally:
        fleet.close()
