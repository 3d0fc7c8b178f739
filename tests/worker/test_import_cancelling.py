"""An import that is cancelled while its rows are being written: it needn't wait for them, and they are undone."""

import asyncio

from db import cancelling
from db.controls import Actor
from db.engine import create_engine, in_transaction
from db.tenants import DEFAULT_TENANT_NO
from tests.support.connections import database_connections, publish_envelopes
from tests.support.erp_source import SCHEMA
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.waiting import eventually_async

HOLD_ROWS = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1);
    RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON imported_records FOR EACH ROW EXECUTE FUNCTION hold()
"""
HELD = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"


async def test_a_load_under_way_is_no_reason_to_wait_and_is_given_up(
    fleet, erp, connection, redis_url, database_url
) -> None:
    await erp.table("base", 10)
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.base"}
    job_no = await store_import(connection, import_body({**table_type("base"), "source": source}))
    job_id = await connection.fetchval("SELECT id FROM jobs")
    await connection.execute(HOLD_ROWS)
    engine = create_engine(database_url, size=1)
    async with database_connections(database_url) as (holder,):
        await holder.execute("SELECT pg_advisory_lock(1)")
        (worker,) = fleet.start(1, HEARTBEAT_SECONDS=60, LEASE_SECONDS=200)
        await publish_envelopes(redis_url, [job_no])
        await eventually_async(lambda: connection.fetchval(HELD), what="a load is under way")
        async with asyncio.timeout(2):
            cancelled = await in_transaction(
                engine, lambda c: cancelling.cancel(c, DEFAULT_TENANT_NO, job_id, Actor("a test", None, 1))
            )
        assert cancelled.is_done
        worker.wait_for("duplicate_prevented", layer="fence", seconds=5)
        assert await connection.fetchval(HELD) == 0
    await engine.dispose()
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 0
    assert worker.is_alive
