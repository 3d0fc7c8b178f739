"""Imports that meet an unforeseen failure: it affects no other import, is named, and has an end."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from broker import envelopes
from db.engine import create_engine
from tests.support.connections import broker_client, database_connections, publish_envelopes
from tests.support.erp_source import SCHEMA
from tests.support.gateway import Gateway, gateway_to
from tests.support.import_bodies import csv_type, import_body, store_import, table_type
from tests.support.import_steps import ImportSteps
from tests.support.outcomes import all_ended
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

HELD_LONGER_THAN_IT_MAY_COUNT = """
    SELECT i.heartbeat_at > j.started_at + interval '1.5 seconds'
    FROM imports AS i JOIN jobs AS j USING (job_no) WHERE j.job_no = $1 AND j.status = 'coordinating'
"""


def erp_type(table: str) -> dict:
    return {**table_type(table), "source": {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.{table}"}}


async def job(connection, job_no: int) -> tuple[str, str | None, str | None]:
    row = await connection.fetchrow("SELECT status, error_code, error_detail FROM jobs WHERE job_no = $1", job_no)
    return tuple(row)


async def test_waiting_for_another_import_s_count_is_no_time_of_one_s_own(fleet, erp, connection, redis_url) -> None:
    slow = [f"slow_{number}" for number in range(4)]
    await erp.tables([*slow, "quick"], 10)
    async with AsyncExitStack() as locks:
        (locker,) = await locks.enter_async_context(database_connections(fleet.database_url))
        await locks.enter_async_context(locker.transaction())
        for table in slow:
            await locker.execute(f"LOCK TABLE {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE")
        first = await store_import(connection, import_body(*map(erp_type, slow)))
        fleet.start(1)
        await publish_envelopes(redis_url, [first])
        waiting = (
            f"SELECT count(*) = 4 FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE '{SCHEMA}.slow_%'"
        )
        await eventually_async(lambda: connection.fetchval(waiting))
        second = await store_import(connection, import_body(erp_type("quick"), policy={"count_timeout_seconds": 1}))
        await publish_envelopes(redis_url, [second])
        await eventually_async(lambda: connection.fetchval(HELD_LONGER_THAN_IT_MAY_COUNT, second))
    await all_ended(connection)
    assert await job(connection, first) == ("completed", None, None)
    assert await job(connection, second) == ("completed", None, None)


async def test_the_errors_of_all_record_types_are_reported_together(fleet, erp, connection, redis_url) -> None:
    (erp.data / "good.csv").write_text("id\n1\n")
    (erp.data / "wrong.csv").write_text("id\n1\n")
    missing = [csv_type(f"missing_{number}") for number in range(6)]
    given = import_body(csv_type("good"), csv_type("wrong", key=["idd"]), *missing)
    job_no = await store_import(connection, given)
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    status, code, detail = await job(connection, job_no)
    assert (status, code) == ("failed", "unknown_column")
    assert detail is not None
    assert detail.startswith('wrong (file "wrong.csv"): The file "wrong.csv" has no column "idd"')
    assert 'missing_3 (file "missing_3.csv"): There is no file' in detail
    assert "missing_4" not in detail
    assert detail.endswith("and 2 more.")


async def test_a_staging_folder_that_cannot_be_written_keeps_its_import_waiting_and_no_worker_from_working(
    fleet, erp, connection, redis_url, tmp_path
) -> None:
    (tmp_path / "state").mkdir()
    blocked = tmp_path / "state" / "breakwater-staging"
    blocked.write_text("no folder")
    (erp.data / "customer.csv").write_text("id\n1\n")
    await erp.table("line", 10)
    job_no = await store_import(connection, import_body(csv_type("customer"), policy={"max_attempts": 1}))
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    rescheduled = worker.wait_for("coordination_put_off", code="source_unavailable")
    assert str(tmp_path) not in rescheduled["detail"]
    other = await store_import(connection, import_body(erp_type("line")))
    await publish_envelopes(redis_url, [other])
    await eventually_async(
        lambda: connection.fetchval("SELECT status = 'completed' FROM jobs WHERE job_no = $1", other)
    )
    blocked.unlink()
    await all_ended(connection)
    assert await job(connection, job_no) == ("completed", None, None)
    assert worker.is_alive


async def test_an_unforeseen_error_while_reading_fails_its_batch_alone(fleet, erp, connection, redis_url) -> None:
    await erp.table("line", 40)
    job_no = await store_import(connection, import_body(erp_type("line"), policy={"batch_size": 1}))
    await connection.execute(
        """
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.batch_no = 20 THEN NEW.range := '{}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER spoil BEFORE INSERT ON import_batches FOR EACH ROW EXECUTE FUNCTION spoil();
        """
    )
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    assert worker.is_alive
    assert worker.wait_for("source_failed", batch_no=20)["exception"]
    failed = await connection.fetch("SELECT batch_no, error_code FROM import_batches WHERE error_code IS NOT NULL")
    assert [tuple(row) for row in failed] == [(20, "source_error")]
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 39


async def test_a_coordination_whose_workers_are_always_lost_ends(fleet, erp, connection, redis_url) -> None:
    (erp.data / "customer.csv").write_text("id\n1\n")
    job_no = await store_import(connection, import_body(csv_type("customer")))
    engine = create_engine(fleet.database_url, size=2, pinned_plans=True)
    ledger = ImportSteps(engine)
    for lost in range(10):
        begun = await ledger.begin(job_no, lease_seconds=0)
        assert begun is not None
        assert begun.lost_leases == lost
    await engine.dispose()
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    status, code, detail = await job(connection, job_no)
    assert (status, code) == ("failed", "worker_lost")
    assert detail is not None
    assert "10 times in a row" in detail


async def test_an_import_that_cannot_even_be_begun_keeps_no_other_from_it(fleet, erp, connection, redis_url) -> None:
    (erp.data / "customer.csv").write_text("id\n1\n")
    doomed, other = [await store_import(connection, import_body(csv_type("customer"))) for _ in range(2)]
    await connection.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON imports FOR EACH ROW
        WHEN (NEW.job_no = {doomed}) EXECUTE FUNCTION refuse();
        """
    )
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [doomed, other])
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", doomed)
    worker.wait_for("coordination_failed", job_id=job_id)
    await eventually_async(
        lambda: connection.fetchval("SELECT status = 'completed' FROM jobs WHERE job_no = $1", other)
    )
    assert worker.is_alive
    await connection.execute("DROP TRIGGER refuse ON imports")
    await all_ended(connection)
    assert await job(connection, doomed) == ("completed", None, None)


# Sources that are unavailable


@pytest.fixture
async def gateway(fleet: Fleet, erp) -> AsyncIterator[Gateway]:
    """The way to a source with a table `line` of 400 rows, open at first."""
    await erp.table("line", 400)
    async with gateway_to(fleet.database_url) as gateway:
        fleet.environment = {"ERP_URL": gateway.url}
        yield gateway


async def test_a_source_that_is_unavailable_for_a_while_costs_coordination_no_try(
    fleet, connection, gateway, redis_url
) -> None:
    gateway.shut()
    job_no = await store_import(connection, import_body(erp_type("line"), policy={"max_attempts": 1}))
    (worker,) = fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await eventually_async(
        lambda: connection.fetchval("SELECT fence >= 3 AND attempts = 0 FROM imports WHERE job_no = $1", job_no)
    )
    assert worker.wait_for("coordination_put_off", code="source_unavailable")["detail"].startswith("line (table ")
    gateway.open()
    await all_ended(connection)
    assert await job(connection, job_no) == ("completed", None, None)


async def test_a_source_that_is_unavailable_while_batches_are_read_costs_them_no_try(
    fleet, connection, gateway, redis_url
) -> None:
    policy = {"max_attempts": 1, "batch_size": 1, "max_concurrent": 2}
    job_no = await store_import(connection, import_body(erp_type("line"), policy=policy))
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    done = "SELECT count(*) > 20 FROM batches WHERE job_no = $1 AND status = 'completed'"
    await eventually_async(lambda: connection.fetchval(done, job_no))
    gateway.shut()
    waiting = (
        "SELECT max(forgiven) FROM import_batches WHERE away_since IS NOT NULL AND error_code = 'source_unavailable'"
    )
    await eventually_async(lambda: _at_least(connection.fetchval(waiting), 2))
    gateway.open()
    await all_ended(connection, seconds=60)
    assert await job(connection, job_no) == ("completed", None, None)
    assert await connection.fetchval("SELECT count(*) FROM import_batches WHERE error_code IS NOT NULL") == 0


async def _at_least(asked, number: int) -> bool:
    return (await asked or 0) >= number


@pytest.mark.parametrize("found_by", ["coordination", "batches"])
async def test_a_source_that_stays_unavailable_fails_the_import_in_the_end(
    fleet, connection, gateway, redis_url, found_by
) -> None:
    policy = {"max_attempts": 1, "batch_size": 4, "max_concurrent": 1}
    job_no = await store_import(connection, import_body(erp_type("line"), policy=policy))
    if found_by == "coordination":
        gateway.shut()
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    if found_by == "batches":
        done = "SELECT count(*) > 20 FROM batches WHERE job_no = $1 AND status = 'completed'"
        await eventually_async(lambda: connection.fetchval(done, job_no))
        gateway.shut()
    table = "imports" if found_by == "coordination" else "import_batches"
    await eventually_async(
        lambda: connection.fetchval(f"SELECT count(*) > 0 FROM {table} WHERE away_since IS NOT NULL")
    )
    await connection.execute(
        f"""
        CREATE FUNCTION long_ago() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.away_since := NEW.away_since - interval '5 minutes';
            RETURN NEW;
        END $$;
        CREATE TRIGGER long_ago BEFORE UPDATE ON {table} FOR EACH ROW
        WHEN (NEW.away_since > now() - interval '5 minutes') EXECUTE FUNCTION long_ago();
        UPDATE {table} SET job_no = job_no;
        """
    )
    await all_ended(connection, seconds=90)
    status, code, _ = await job(connection, job_no)
    assert (status, code) == ("failed", "source_unavailable" if found_by == "coordination" else "wave_failed")
    codes = await connection.fetch("SELECT DISTINCT error_code FROM import_batches WHERE error_code IS NOT NULL")
    assert [row[0] for row in codes] == ([] if found_by == "coordination" else ["source_unavailable"])


# Sources that only some workers know


async def test_a_worker_without_the_connection_leaves_the_import_to_one_that_has_it(
    fleet, erp, connection, redis_url
) -> None:
    await erp.table("line", 3000)
    job_no = await store_import(connection, import_body(erp_type("line"), policy={"batch_size": 10, "max_attempts": 1}))
    given, fleet.environment = fleet.environment, {}
    (ignorant,) = fleet.start(1)
    assert ignorant.events("not_served", name="connections.erp")
    await publish_envelopes(redis_url, [job_no])
    await stream_is_read(redis_url)
    fleet.environment = given
    (knowing,) = fleet.start(1)
    knowing.wait_for("job_coordinated")
    await all_ended(connection)
    assert await job(connection, job_no) == ("completed", None, None)
    handed_back = await connection.fetchval("SELECT coalesce(sum(forgiven), 0) FROM import_batches")
    assert handed_back == 0
    assert not ignorant.events("coordination_started")
    workers = await connection.fetch("SELECT DISTINCT w.id FROM batches AS b JOIN workers AS w USING (worker_no)")
    assert len(workers) == 1


async def stream_is_read(redis_url: str) -> None:
    """Wait until some worker has the envelope in hand."""
    async with broker_client(redis_url) as client:

        async def look() -> bool:
            return (await envelopes.look(client)).undelivered == 0

        await eventually_async(look, what="the envelope is read")
