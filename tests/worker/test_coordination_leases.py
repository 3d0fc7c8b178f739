"""The lease of a coordination whose plan is committed: the commit ends it, and a renewal that waited finds none."""

from collections.abc import AsyncIterator

import pytest

from db import import_coordination, workers
from db.engine import Connection, Engine, create_engine, in_transaction
from db.import_coordination import Coordination, Served
from tests.support.erp_source import two_tables_body
from tests.support.import_bodies import store_import
from tests.support.waiting import eventually_async
from tests.support.worker_contexts import worker_context
from worker.imports.coordination_lease import CoordinationLease

RENEWING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%UPDATE imports%' AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=4)
    yield engine
    await engine.dispose()


@pytest.fixture
async def coordination(erp, connection: Connection, engine: Engine) -> Coordination:
    """The lease of an import's coordination, just taken."""
    worker = await workers.register(connection, worker_id="w", role="worker", pid=1, host="here")
    job_no = await store_import(connection, two_tables_body())
    served = Served(
        await connection.fetchval("SELECT max(configuration_no) FROM configurations"),
        await connection.fetchval("SELECT identity_nos FROM jobs WHERE job_no = $1", job_no),
    )
    begun = await in_transaction(
        engine,
        lambda c: import_coordination.begin(c, job_no, served, holder=1, worker_no=worker.worker_no, lease_seconds=60),
    )
    assert isinstance(begun, Coordination)
    return begun


async def test_a_renewal_that_comes_after_the_commit_does_not_stop_what_follows_the_commit(
    engine: Engine, connection: Connection, coordination: Coordination
) -> None:
    followed = []

    async def survey() -> str:
        return "a plan"

    async def commit(transaction: Connection) -> None:
        """End the lease, and have a renewal wait for the commit."""
        await import_coordination.reschedule(
            transaction, coordination, tries=1, due_in_seconds=60, source="a test", event={}, outcome="failed"
        )
        await eventually_async(lambda: connection.fetchval(RENEWING), what="a renewal waits")

    async def write(found: str) -> None:
        await in_transaction(engine, commit)

        async def has_looked() -> bool:
            return await connection.fetchval(RENEWING) == 0

        await eventually_async(has_looked, what="the renewal has found no lease")
        for _ in range(10):
            await connection.fetchval("SELECT 1")  # so that its answer is read, too
        followed.append(found)

    context = worker_context(engine, heartbeat_seconds=0.01)
    await CoordinationLease(context, coordination, "a token").hold(survey(), write)
    assert followed == ["a plan"]
