"""Who leads among real workers: a dead leader is followed, one that stood still writes nothing, and none is logged."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.engine import Connection
from tests.support.connections import database_connections, waiting_in
from tests.support.engines import OwnEngines
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, counter_total
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.3}
LEADER = "SELECT w.id FROM leaders AS l JOIN workers AS w USING (worker_no) WHERE l.lease_until > now()"
IDLE = "SELECT worked_at < now() - interval '900 ms' FROM leaders"
AGE = "UPDATE jobs SET created_at = now() - interval '1 minute', queued_at = now() - interval '1 minute'"
STEAL = "UPDATE leaders SET worker_no = -1, fence = fence + 1, lease_until = now() + interval '1 hour'"


async def leader_of(connection: Connection, *, but: str = "") -> str:
    """The worker that leads, once there is one."""

    async def look() -> str | None:
        found: str | None = await connection.fetchval(LEADER)
        return found if found != but else None

    return await eventually_async(look, what="a worker leads") or ""


@contextmanager
def standing_still(engines: OwnEngines) -> Iterator[None]:
    """Keep Redis from answering meanwhile."""
    process = engines.valkey.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_leader_that_ends_is_followed(fleet: Fleet, connection: Connection, end: str) -> None:
    workers = {worker.wait_for("worker_started")["worker"]: worker for worker in fleet.start(2, **QUICK)}
    first = await leader_of(connection)
    getattr(workers[first], end)()
    second = await leader_of(connection, but=first)
    assert {first, second} == workers.keys()
    assert await connection.fetchval("SELECT fence FROM leaders") == 2


async def test_a_worker_that_others_followed_while_it_stood_still_writes_nothing_and_counts_that(
    own_engines: OwnEngines, tmp_path: Path
) -> None:
    fleet = Fleet(own_engines.database_url, own_engines.redis_url, tmp_path, QUICK)
    try:
        async with database_connections(own_engines.database_url) as (connection,):
            (worker,) = fleet.start()
            await leader_of(connection)
            with standing_still(own_engines):
                await eventually_async(lambda: connection.fetchval(IDLE), what="it waits for Redis, as the leader")
                await connection.execute(STEAL)
                taken = await connection.fetchrow("SELECT * FROM leaders")
            worker.wait_for("duplicate_prevented", layer="leadership", reason="stale_fence")
            assert await connection.fetchrow("SELECT * FROM leaders") == taken
            assert await counter_total(connection, "breakwater_duplicates_prevented", layer="leadership") == 1
            assert worker.is_alive
    finally:
        fleet.close()


async def test_what_a_leader_published_is_counted_though_another_leads_by_then(
    own_engines: OwnEngines, tmp_path: Path
) -> None:
    """It finds the lost job as the leader; another takes over while it waits for Redis to take the envelope."""
    fleet = Fleet(own_engines.database_url, own_engines.redis_url, tmp_path, QUICK)
    try:
        async with database_connections(own_engines.database_url, 2) as (connection, holder):
            await store_jobs(connection, [job_body()])
            await connection.execute(AGE)
            holding = holder.transaction()
            await holding.start()
            await holder.execute("SELECT FROM jobs FOR UPDATE")  # so that no worker plans it
            await holder.execute("LOCK TABLE job_limits IN ACCESS EXCLUSIVE MODE")
            fleet.start()
            await eventually_async(
                lambda: waiting_in(connection, "find_owed_work"), what="the leader looks for owed work"
            )
            with standing_still(own_engines):
                await holding.rollback()
                await connection.execute(STEAL)  # after the leader's transaction, which has locked the row

            async def is_counted() -> bool:
                return await counter_total(connection, "breakwater_reconciled", reason="unannounced") == 1

            await eventually_async(is_counted, what="the announcement is counted")
            assert await connection.fetchval("SELECT worker_no FROM leaders") == -1
            await all_ended(connection)
    finally:
        fleet.close()


async def test_a_fleet_without_a_leader_says_so(fleet: Fleet, connection: Connection, database_url: str) -> None:
    (worker,) = fleet.start(**QUICK)
    await leader_of(connection)
    async with database_connections(database_url) as (other,), other.transaction():
        await other.execute("SELECT FROM leaders FOR UPDATE")
        missing = worker.wait_for("leader_missing")
        assert missing["last"] == missing["worker"]
        assert missing["idle_seconds"] > 1
    await leader_of(connection)
